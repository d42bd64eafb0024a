#!lua
-- with: digits epoch node time wake stays looks keeping
-- let_in(FP, once, nick, token, pinned, group, sign, most, look…): a session that is this node's.
-- OK n / DISPLACED / AGAIN: there is one / TOKEN fp…: who came in with that token / FULL / TAKEN 0 nick…:
-- whose looks these are / LOST ms nick…: the same, all away, the last one for so long.
local FP, ONCE, NICK, TOKEN, PINNED = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local GROUP, SIGN, MOST = ARGV[10], ARGV[11], ARGV[12]
local key, looks = D .. 'fp:' .. FP, {}
for i = 13, #ARGV do looks[#looks + 1] = ARGV[i] end
if call('ZSCORE', D .. 'displaced', FP) then return {'DISPLACED'} end
local known = call('HMGET', key, 'n', 'node', 'once')
if known[1] then
  if known[2] == NODE and known[3] == ONCE then return {'OK', known[1]} end
  return {'AGAIN'}
end
if TOKEN ~= '' then
  local others = {}
  for _, other in ipairs(call('SMEMBERS', D .. 'token-of:' .. TOKEN)) do
    if call('HGET', D .. 'fp:' .. other, 'token') == TOKEN then others[#others + 1] = other end
  end
  if others[1] then return {'TOKEN', unpack(others, 1, math.min(#others, 16))} end
end
if call('SCARD', D .. 'sessions') >= tonumber(MOST) then return {'FULL'} end
local taken = taken_looks(looks, FP)
if taken then return taken end
local n = next_n()
take_looks(looks, FP)
if TOKEN ~= '' then call('SADD', D .. 'token-of:' .. TOKEN, FP) end
call('DEL', key .. ':answers')
call('HSET', key, 'n', n, 'node', NODE, 'once', ONCE, 'nick', NICK, 'looks', table.concat(looks, '\n'),
  'token', TOKEN, 'pinned', PINNED, 'group', GROUP, 'sign', SIGN, 'taken', '0', 'lost', '')
call('SADD', D .. 'sessions', FP)
call('SADD', D .. 'of:' .. NODE, FP)
keep(D .. 'sessions')
keep(D .. 'of:' .. NODE)
keep_session(FP, {looks = table.concat(looks, '\n'), token = TOKEN}, {})
return {'OK', n}
