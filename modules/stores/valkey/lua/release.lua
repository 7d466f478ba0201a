-- ARGV: role after which the store is left, nothing to give it free
local t = now()
local moving = redis.call('GET', P .. 'moving')
if not moving or string.sub(moving, 1, #ARGV[2]) ~= ARGV[2] then return {text(t), events, '0'} end
if ARGV[3] == '' then
  redis.call('DEL', P .. 'moving')
else
  redis.call('SET', P .. 'moving', ARGV[2] .. ' ' .. text(t) .. ' ' .. ARGV[3])
end
return {text(t), events, '1'}
