-- ARGV: bucket, name, sealed ID, sealed value, TTL (0: never), match (a: always, n: absent, v: version), version, indexes,
-- what they are called, sealed
local t = now()
local b, h, match = ARGV[3], ARGV[4], ARGV[8]
local old = live(b, h, t)
if match == 'n' and old or match == 'v' and not (old and old[1] == ARGV[9]) then
  return {text(t), events, false}
end
local v = text(redis.call('INCR', P .. 'version'))
if old then
  unlist(b, h, old[5])
  redis.call('ZREM', P .. 'e', b .. ' ' .. h)
end
local e = after(t, tonumber(ARGV[7]))
redis.call('HSET', item(b, h), 'n', ARGV[5], 'd', ARGV[6], 'v', v, 'e', text(e), 'x', ARGV[10], 's', ARGV[11])
redis.call('ZADD', P .. 'b:' .. b, 0, h)
if e > 0 then redis.call('ZADD', P .. 'e', text(e), b .. ' ' .. h) end
for ix in string.gmatch(ARGV[10], '%S+') do redis.call('ZADD', P .. 'x:' .. b .. ':' .. ix, 0, h) end
emit('+', b, ARGV[5])
return {text(t), events, v}
