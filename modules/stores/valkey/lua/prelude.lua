-- What all scripts share. Everything of a store has one hash tag, so that all of it lies on one node of a cluster and each
-- script is one atomic step. KEYS[1] is that prefix. ARGV[1] is what the caller thinks store time is, in microseconds,
-- ARGV[2] the caller's node.
--
-- P..i:BUCKET:NAME  an item: hash of n (its sealed ID), d (its sealed value), v (version), e (expiry, 0 is never), x (indexes),
--                   s (what they are called, sealed)
-- P..c:BUCKET:NAME  a counter: hash of n, e, i (its sealed ID)      P..l:BUCKET:NAME  a lease: when its bucket is full again
-- P..b:BUCKET       names of a bucket's items, P..x:BUCKET:INDEX those with an index, P..e all by expiry
-- P..version P..clock P..feed  numbers that only grow; P..feed is the channel too
-- P..schema         which of these forms the store has        P..moving  who moves it: node, time, role (move.go)
local P = KEYS[1]

-- now is the server's time, but never goes back: not when the server's clock is set back, for which callers' estimates,
-- which go on at the pace of monotonic clocks, stand in, and not when another server takes over.
-- Every script that writes asks it first: so nobody writes to a store of another schema, or to one that is being moved.
local function now()
  local kept = redis.call('MGET', P .. 'clock', P .. 'schema', P .. 'moving')
  if kept[2] and kept[2] ~= SCHEMA then error({err = 'SCHEMA ' .. kept[2]}) end
  if kept[3] and string.sub(ARGV[2], 1, 6) ~= 'mover-' then error({err = 'MOVING ' .. kept[3]}) end
  local t = redis.call('TIME')
  local n = t[1] * 1000000 + t[2]
  local last = tonumber(kept[1] or '0')
  local told = tonumber(ARGV[1])
  if told > n + 1000000 then n = told end
  if n > last then
    redis.call('SET', P .. 'clock', string.format('%.0f', n))
    return n
  end
  return last
end

local function text(n) return string.format('%.0f', n) end

-- Expiries are before the year 2255: numbers are doubles.
local function after(t, ttl)
  if ttl == 0 then return 0 end
  return math.min(t + ttl, 9000000000000000)
end

local function dead(e, t) return e ~= '0' and tonumber(e) <= t end

local function item(b, h) return P .. 'i:' .. b .. ':' .. h end

local events = {}

local function emit(kind, b, n)
  local seq = redis.call('INCR', P .. 'feed')
  redis.call('PUBLISH', P .. 'feed', text(seq) .. ' ' .. ARGV[2] .. ' ' .. kind .. ' ' .. b .. ' ' .. n)
  events[#events + 1] = kind
  events[#events + 1] = b
  events[#events + 1] = n
end

local function unlist(b, h, x)
  for ix in string.gmatch(x, '%S+') do redis.call('ZREM', P .. 'x:' .. b .. ':' .. ix, h) end
end

-- drop removes an item whatever of it is there, and says whether it was live.
local function drop(b, h, t)
  local old = redis.call('HMGET', item(b, h), 'n', 'e', 'x')
  redis.call('DEL', item(b, h))
  redis.call('ZREM', P .. 'b:' .. b, h)
  redis.call('ZREM', P .. 'e', b .. ' ' .. h)
  if not old[1] then return false end
  unlist(b, h, old[3])
  emit('-', b, old[1])
  return not dead(old[2], t), old[1]
end

-- live returns v, n, d, e, x of a live item, and drops one that has expired.
local function live(b, h, t)
  local old = redis.call('HMGET', item(b, h), 'v', 'n', 'd', 'e', 'x')
  if not old[1] then return nil end
  if dead(old[4], t) then
    drop(b, h, t)
    return nil
  end
  return old
end
