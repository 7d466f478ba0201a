-- ARGV: eights of kind (i or c), bucket, name, sealed ID, sealed value or count, expiry, indexes, what they are called, sealed
local t = now()
for i = 3, #ARGV, 8 do
  local b, h, n, d, e, x = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]
  if not dead(e, t) then
    if ARGV[i] == 'c' then
      local k = P .. 'c:' .. b .. ':' .. h
      redis.call('DEL', k)
      redis.call('HSET', k, 'n', d, 'e', e, 'i', n)
      if e ~= '0' then redis.call('PEXPIREAT', k, text(tonumber(e) / 1000 + 1000)) end
    else
      drop(b, h, t)
      redis.call('HSET', item(b, h), 'n', n, 'd', d, 'v', text(redis.call('INCR', P .. 'version')), 'e', e, 'x', x, 's', ARGV[i + 7])
      redis.call('ZADD', P .. 'b:' .. b, 0, h)
      if e ~= '0' then redis.call('ZADD', P .. 'e', e, b .. ' ' .. h) end
      for ix in string.gmatch(x, '%S+') do redis.call('ZADD', P .. 'x:' .. b .. ':' .. ix, 0, h) end
      emit('+', b, n)
    end
  end
end
return {text(t), events}
