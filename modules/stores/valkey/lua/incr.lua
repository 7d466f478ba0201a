-- ARGV: bucket, name, by how much, TTL (0: never), sealed ID. Sums are of 64 bits, which only the server's own arithmetic has.
local t = now()
local k = P .. 'c:' .. ARGV[3] .. ':' .. ARGV[4]
local e = redis.call('HGET', k, 'e')
if e and dead(e, t) then
  redis.call('DEL', k)
  e = false
end
if ARGV[5] == '0' then return {text(t), events, redis.call('HGET', k, 'n') or '0'} end
local sum = redis.pcall('HINCRBY', k, 'n', ARGV[5])
if type(sum) == 'table' and sum.err then
  if not string.find(sum.err, 'overflow') then return sum end
  redis.call('HSET', k, 'n', string.sub(ARGV[5], 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807')
end
if not e then
  local until_ = after(t, tonumber(ARGV[6]))
  redis.call('HSET', k, 'e', text(until_), 'i', ARGV[7])
  -- The server forgets it a second later by its own clock: expiry itself is judged by store time.
  if until_ > 0 then redis.call('PEXPIREAT', k, text(until_ / 1000 + 1000)) end
end
return {text(t), events, redis.call('HGET', k, 'n')}
