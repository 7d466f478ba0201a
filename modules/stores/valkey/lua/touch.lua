-- ARGV: triples of bucket, name and expiry
local t = now()
for i = 3, #ARGV, 3 do
  local b, h = ARGV[i], ARGV[i + 1]
  local old = live(b, h, t)
  if old and old[4] ~= '0' and tonumber(ARGV[i + 2]) > tonumber(old[4]) then
    redis.call('HSET', item(b, h), 'e', ARGV[i + 2])
    redis.call('ZADD', P .. 'e', ARGV[i + 2], b .. ' ' .. h)
  end
end
return {text(t), events}
