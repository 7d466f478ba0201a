-- ARGV: bucket, name, burst, pace in microseconds, wanted. GCRA, as the embedded engine has it (gcra.go).
local t = now()
local k = P .. 'l:' .. ARGV[3] .. ':' .. ARGV[4]
local burst, every, want = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local tat = tonumber(redis.call('GET', k) or '0')
local depth = burst * every
local base = math.min(math.max(tat, t), t + depth)
local got = math.min(want, math.floor((depth - (base - t)) / every))
local full = base + got * every
local retry = math.max(0, full + every - depth - t)
if got > 0 or full < tat then
  redis.call('SET', k, text(full), 'PXAT', text(math.ceil(full / 1000) + 1000))
end
return {text(t), events, text(got), text(retry)}
