-- ARGV: how many
local t = now()
local due = redis.call('ZRANGEBYSCORE', P .. 'e', '-inf', text(t), 'LIMIT', 0, ARGV[3])
for _, m in ipairs(due) do
  local b, h = string.match(m, '^(%S+) (%S+)$')
  drop(b, h, t)
end
return {text(t), events, text(#due)}
