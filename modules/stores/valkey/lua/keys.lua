-- ARGV: cursor, kinds (a set such as [bc]), the prefix as a pattern, whether to remove them. One step over all keys of the server.
local t = now()
local step = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[5] .. ARGV[4] .. ':*', 'COUNT', 1000)
local found = {}
for _, k in ipairs(step[2]) do
  if ARGV[6] == '1' then redis.call('DEL', k) else found[#found + 1] = string.sub(k, #P + 1) end
end
return {text(t), events, step[1], found}
