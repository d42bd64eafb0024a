#!lua flags=allow-oom
-- with: digits epoch node time wake log change counts stays leaving tables ending
-- sweep(grace ms, most): up to `most` graces that are over end. OK how many, ms until the next (0: there
-- are more; -1: none).
local GRACE, MOST = ARGV[5], ARGV[6]
local over = call('ZRANGEBYSCORE', D .. 'lost', '-inf', digits(NOW - GRACE), 'LIMIT', 0, MOST)
for i = 1, #over do
  if call('HGET', D .. 'fp:' .. over[i], 'lost') == '' then -- it has come back
    call('ZREM', D .. 'lost', over[i])
  else
    end_session(over[i], '')
  end
end
-- What a script that was broken off has left in the lists, a few at a time.
for _, fingerprint in ipairs(call('SRANDMEMBER', D .. 'sessions', 16)) do
  if call('EXISTS', D .. 'fp:' .. fingerprint) == 0 then call('SREM', D .. 'sessions', fingerprint) end
end
for _, room in ipairs(call('ZRANDMEMBER', D .. 'rooms', 16)) do
  local R = D .. 'room:' .. room .. ':'
  if call('EXISTS', R .. 'state') == 0 then drop_room(R, room) end
end
local first = call('ZRANGE', D .. 'lost', 0, 0, 'WITHSCORES')
if not first[1] then return {'OK', #over, -1} end
return {'OK', #over, math.max(first[2] + GRACE - NOW, 0)}
