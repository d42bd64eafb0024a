-- The engine's time in ms, and when what is kept now goes if nobody renews it.
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
local UNTIL = digits(NOW + ARGV[4])
local function keep(key) redis.call('PEXPIREAT', key, UNTIL) end
