-- Whoever is to be a session of this node: ARGV 5 and 6 are its fingerprint and what tells this call from others,
-- from `at` on come nick, token, pinned, group, sign, most sessions, and its looks.
local FP, ONCE = ARGV[5], ARGV[6]
local key, looks, WHO = D .. 'fp:' .. FP, {}, nil
local function read_newcomer(at)
  WHO = {nick = ARGV[at], token = ARGV[at + 1], pinned = ARGV[at + 2], group = ARGV[at + 3], sign = ARGV[at + 4],
    most = ARGV[at + 5]}
  for i = at + 6, #ARGV do looks[#looks + 1] = ARGV[i] end
end
-- What it has of its session, which this call has made already: n, and `field`; or nil and, where there is none to
-- be made, the answer that says why.
local function made_before(field)
  if call('ZSCORE', D .. 'displaced', FP) then return nil, {'DISPLACED'} end
  local known = call('HMGET', key, 'n', 'node', 'once', field)
  if known[1] and known[2] == NODE and known[3] == ONCE then return known[1], known[4] end
  if known[1] then return nil, {'AGAIN'} end
  if WHO.token ~= '' then
    local others = {}
    for _, other in ipairs(call('SMEMBERS', D .. 'token-of:' .. WHO.token)) do
      if call('HGET', D .. 'fp:' .. other, 'token') == WHO.token then others[#others + 1] = other end
    end
    if others[1] then return nil, {'TOKEN', unpack(others, 1, math.min(#others, 16))} end
  end
  if call('SCARD', D .. 'sessions') >= tonumber(WHO.most) then return nil, {'FULL'} end
  return nil, taken_looks(looks, FP)
end
-- Make it; its n.
local function make_session()
  local n = next_n()
  take_looks(looks, FP)
  if WHO.token ~= '' then
    call('SADD', D .. 'token-of:' .. WHO.token, FP)
    keep(D .. 'token-of:' .. WHO.token)
  end
  call('DEL', key .. ':answers')
  call('HSET', key, 'n', n, 'node', NODE, 'once', ONCE, 'nick', WHO.nick, 'looks', table.concat(looks, '\n'),
    'token', WHO.token, 'pinned', WHO.pinned, 'group', WHO.group, 'sign', WHO.sign, 'taken', '0', 'lost', '',
    'until', UNTIL)
  keep(key)
  call('SADD', D .. 'sessions', FP)
  call('SADD', D .. 'of:' .. NODE, FP)
  keep(D .. 'sessions')
  keep(D .. 'of:' .. NODE)
  return n
end
