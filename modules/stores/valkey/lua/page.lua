-- ARGV: bucket, index or nothing, name after which to go on, items and bytes in a page. Writes nothing.
local t = tonumber(ARGV[1])
local b, from = ARGV[3], P .. 'b:' .. ARGV[3]
if ARGV[4] ~= '' then from = P .. 'x:' .. b .. ':' .. ARGV[4] end
local after = '-'
if ARGV[5] ~= '' then after = '(' .. ARGV[5] end
local names = redis.call('ZRANGEBYLEX', from, after, '+', 'LIMIT', 0, ARGV[6])
local items, size, last, more = {}, 0, '', #names == tonumber(ARGV[6])
for i, h in ipairs(names) do
  if size >= tonumber(ARGV[7]) then
    more = true
    break
  end
  last = h
  local r = redis.call('HMGET', item(b, h), 'v', 'n', 'd', 'e', 'x', 's')
  if r[1] and not dead(r[4], t) then
    items[#items + 1] = {h, r}
    size = size + #r[3]
  end
end
return {text(t), events, last, more and '1' or '0', items}
