-- Coming into a room. ARGV 8 to 15: the room, its name, the log id that it gets where it is made, a nickname in
-- JSON, a bundle, how many rooms there may be; whether the answer is to have the roster (1), and what the node has
-- of the room: '', or up to which number of its log.
local K, NAME, LOG, NICK, BUNDLE, MOST = ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local ROSTER, KNOWN = ARGV[14], ARGV[15]
local R = D .. 'room:' .. K .. ':'
local is_there = call('EXISTS', R .. 'state') == 1
-- Why there is no place for one more, or nil.
local function no_place()
  if not is_there and call('ZCARD', D .. 'rooms') >= tonumber(MOST) then return 'FULL' end
  if is_there and call('HLEN', R .. 'members') >= ROOM_MEMBERS then return 'ROOM_FULL' end
  return nil
end
-- A member at the log's end, in a room that is made where it is not; `ref` is the request's. Its id, its number, and
-- NODE if it need not be told: the answer has all that it lacks.
local function take_place(fingerprint, ref)
  local id = digits(call('HINCRBY', D .. 'numbers', 'member', 1))
  if not is_there then
    drop_room(R, K)
    local number = digits(call('HINCRBY', D .. 'numbers', 'room', 1))
    call('HSET', R .. 'state', 'log', LOG, 'name', NAME, 'number', number, 'seq', 0, 'bytes', 0,
      'change', 0, 'mseq', 0, 'mbytes', 0, 'until', UNTIL)
    call('ZADD', D .. 'rooms', 0, K)
    keep(D .. 'rooms')
  end
  local before = call('HGET', R .. 'state', 'seq')
  local seq = digits(before + 1)
  call('HSET', D .. 'fp:' .. fingerprint, 'r:' .. K, id, 'f:' .. K, ref, 'p:' .. K, '0:0')
  count(R, NODE)
  append_change(R, 67 + #seq + #id + #NICK + #BUNDLE, 'k', 'j', 's', id, 'f', fingerprint, 'n', NICK, 'b', BUNDLE)
  call('HSET', R .. 'bundles', id, BUNDLE)
  call('HSET', R .. 'members', id, seq .. ':' .. fingerprint .. ':' .. NICK)
  if not is_there then
    for _, what in ipairs({'state', 'log', 'members', 'bundles', 'nodes', 'changes'}) do keep(R .. what) end
  end
  local has_all = KNOWN ~= '' and (ROSTER == '1' or KNOWN == before)
  return id, seq, has_all and NODE or nil
end
