-- ARGV: bucket, index
local t = now()
local gone = {}
for _, h in ipairs(redis.call('ZRANGE', P .. 'x:' .. ARGV[3] .. ':' .. ARGV[4], 0, -1)) do
  local was, n = drop(ARGV[3], h, t)
  if was then gone[#gone + 1] = n end
end
return {text(t), events, gone}
