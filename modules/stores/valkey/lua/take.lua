-- ARGV: bucket, name
local t = now()
local old = live(ARGV[3], ARGV[4], t)
if old then drop(ARGV[3], ARGV[4], t) end
return {text(t), events, old or false}
