#!lua flags=allow-oom
-- with: digits epoch node time wake counts stays state keeping
-- take_over(FP, n seen, once, group): the session is this node's from now on, if it still has that n; its
-- node, if it has one, is told `replaced`. OK and all that `look` says / CHANGED / NONE.
local FP, SEEN, ONCE, GROUP = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local key = D .. 'fp:' .. FP
local found, rooms = session_of(key)
if not found.n then return {'NONE'} end
if found.node == NODE and found.once == ONCE then return state_of(key) end
if found.n ~= SEEN then return {'CHANGED'} end
local n = next_n()
call('HSET', key, 'n', n, 'node', NODE, 'once', ONCE, 'lost', '', 'group', GROUP)
if found.node ~= '' then
  tell(found.node, 's', FP .. '\n' .. n .. '\nreplaced')
  call('SREM', D .. 'of:' .. found.node, FP)
end
call('ZREM', D .. 'lost', FP)
call('SADD', D .. 'of:' .. NODE, FP)
keep(D .. 'of:' .. NODE)
for i = 1, #rooms do
  local R = D .. 'room:' .. rooms[i] .. ':'
  if call('HEXISTS', R .. 'members', found['r:' .. rooms[i]]) == 1 then
    uncount(R, found.node)
    count(R, NODE)
    keep_room(R)
  end
end
keep_session(FP, found, rooms)
return state_of(key)
