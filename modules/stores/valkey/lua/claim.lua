-- ARGV: role (from, into, look), how long a node may be silent. Keeps everybody else from writing, or says why not: 'used' with what the
-- gateways say of themselves, 'moving' with who moves it, 'moved' for a source that was moved away.
local t = now()
for _, said in ipairs(redis.call('HVALS', P .. 'nodes')) do
  local at, says = string.match(said, '^(%d+) (.*)$')
  if tonumber(at) >= t - tonumber(ARGV[4]) then return {text(t), events, 'used', says} end
end
local moving, stale = redis.call('GET', P .. 'moving'), ''
if moving then
  local at, role = string.match(moving, ' (%d+) (%a+)$')
  if role ~= 'moved' and tonumber(at) >= t - 30000000 then return {text(t), events, 'moving', moving} end
  -- What was moved away, and what did not arrive whole, is no source, and may be overwritten.
  if role == 'moved' and ARGV[3] == 'from' then return {text(t), events, 'moved', moving} end
  if role == 'into' and ARGV[3] == 'from' then return {text(t), events, 'half', moving} end
  stale = role
end
if ARGV[5] == '1' then
  redis.call('SET', P .. 'moving', ARGV[2] .. ' ' .. text(t) .. ' ' .. ARGV[3])
  if ARGV[3] == 'from' then redis.call('PEXPIRE', P .. 'moving', 30000) end
end
return {text(t), events, 'ok', stale}
