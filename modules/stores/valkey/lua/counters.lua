-- ARGV: pairs of bucket and name. Returns n, e and i of each, nothing for what is not live.
local t = now()
local all = {}
for i = 3, #ARGV, 2 do
  local c = redis.call('HMGET', P .. 'c:' .. ARGV[i] .. ':' .. ARGV[i + 1], 'n', 'e', 'i')
  if not c[1] or dead(c[2], t) then all[#all + 1] = {} else all[#all + 1] = {c[1], c[2], c[3] or ''} end
end
return {text(t), events, all}
