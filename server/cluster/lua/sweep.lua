#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving tables ending
-- sweep(grace ms, most): up to `most` graces that are over end. OK how many, ms until the next (0: there
-- are more; -1: none).
local GRACE, MOST = ARGV[5], ARGV[6]
local over = call('ZRANGEBYSCORE', D .. 'lost', '-inf', digits(NOW - GRACE), 'LIMIT', 0, MOST)
for i = 1, #over do end_session(over[i], '') end
local first = call('ZRANGE', D .. 'lost', 0, 0, 'WITHSCORES')
if not first[1] then return {'OK', #over, -1} end
return {'OK', #over, math.max(first[2] + GRACE - NOW, 0)}
