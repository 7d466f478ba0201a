-- ARGV: pairs of bucket and name
local t = now()
for i = 3, #ARGV, 2 do
  drop(ARGV[i], ARGV[i + 1], t)
  redis.call('DEL', P .. 'c:' .. ARGV[i] .. ':' .. ARGV[i + 1], P .. 'l:' .. ARGV[i] .. ':' .. ARGV[i + 1])
end
return {text(t), events}
