-- ARGV: what the node says of itself, how long it may be silent (microseconds), the sealed key of the store for when there is
-- none, a name for it, and whether to say who is there. Returns how far the feed has come, the store's key and name, and all nodes that
-- are not silent.
local t = now()
redis.call('SETNX', P .. 'schema', SCHEMA)
redis.call('SETNX', P .. 'key', ARGV[5])
redis.call('SETNX', P .. 'epoch', ARGV[6])
if ARGV[3] ~= '' then redis.call('HSET', P .. 'nodes', ARGV[2], text(t) .. ' ' .. ARGV[3]) end
local moving = redis.call('GET', P .. 'moving')
if moving and string.sub(moving, 1, #ARGV[2]) == ARGV[2] then -- it is this node that moves it, and goes on
  redis.call('SET', P .. 'moving', ARGV[2] .. ' ' .. text(t) .. string.match(moving, ' %a+$'), 'KEEPTTL')
  if string.match(moving, ' from$') then redis.call('PEXPIRE', P .. 'moving', 30000) end
end
local said, nodes = {}, {}
if ARGV[7] == '1' then nodes = redis.call('HGETALL', P .. 'nodes') end
for i = 1, #nodes, 2 do
  if tonumber(string.match(nodes[i + 1], '^%d+')) < t - tonumber(ARGV[4]) then
    redis.call('HDEL', P .. 'nodes', nodes[i])
  else
    said[#said + 1] = nodes[i]
    said[#said + 1] = nodes[i + 1]
  end
end
return {text(t), events, redis.call('GET', P .. 'feed') or '0', redis.call('GET', P .. 'key'), redis.call('GET', P .. 'epoch'), said}
