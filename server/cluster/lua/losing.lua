-- A session's connection is gone: it is no node's, and its grace begins.
local function lose(fingerprint, found, rooms)
  local key = D .. 'fp:' .. fingerprint
  call('ZADD', D .. 'lost', NOW, fingerprint)
  keep(D .. 'lost')
  call('HSET', key, 'n', next_n(), 'node', '', 'lost', digits(NOW))
  call('SREM', D .. 'of:' .. found.node, fingerprint)
  for i = 1, #rooms do
    local R = D .. 'room:' .. rooms[i] .. ':'
    if call('HEXISTS', R .. 'members', found['r:' .. rooms[i]]) == 1 then
      uncount(R, found.node)
      keep_room(R)
    end
  end
  keep_session(fingerprint, found, rooms)
end
-- Lose up to `most` sessions of a node that is to be one no more; how many are left. With the last one
-- its keys go.
local function lose_all(node, most)
  local all = D .. 'of:' .. node
  keep(all)
  local some = call('SRANDMEMBER', all, most)
  for i = 1, #some do
    local found, rooms = session_of(D .. 'fp:' .. some[i])
    if found.node == node then
      lose(some[i], found, rooms)
    else
      call('SREM', all, some[i])
    end
  end
  local left = call('SCARD', all)
  if left == 0 then
    call('DEL', all, D .. 'wake:' .. node, D .. 'node:' .. node)
    call('SREM', D .. 'dying', node)
  end
  return left
end
