-- End a session, whatever is left of it: its rooms, looks, ticket, answers.
local function end_session(fingerprint, reason)
  local key = D .. 'fp:' .. fingerprint
  local found, rooms = session_of(key)
  local node = found.node or ''
  for i = 1, #rooms do leave_room(key, node, rooms[i], found['r:' .. rooms[i]]) end
  for look in string.gmatch(found.looks or '', '[^\n]+') do
    if call('GET', D .. 'look:' .. look) == fingerprint then call('DEL', D .. 'look:' .. look) end
  end
  if found.token and found.token ~= '' then
    call('SREM', D .. 'token-of:' .. found.token, fingerprint)
  end
  if call('HEXISTS', D .. 't:tickets', fingerprint) == 1 then
    change_table('tickets', fingerprint, '')
  end
  if reason == 'taken_over' then
    call('ZADD', D .. 'displaced', NOW, fingerprint)
    call('ZREMRANGEBYRANK', D .. 'displaced', 0, -TAKEN_OVER - 1)
    keep(D .. 'displaced')
  end
  if reason ~= '' and node ~= '' then
    tell(node, 's', fingerprint .. '\n' .. next_n() .. '\n' .. reason)
  end
  call('SREM', D .. 'sessions', fingerprint)
  call('ZREM', D .. 'lost', fingerprint)
  if node ~= '' then call('SREM', D .. 'of:' .. node, fingerprint) end
  call('DEL', key, key .. ':answers')
end
