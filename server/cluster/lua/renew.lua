#!lua flags=allow-oom
-- with: digits epoch node time
-- renew(lease ms, all): the lease and, with all = 1, what is nobody's or this node's.
-- OK [node, alive …] of all nodes: those without a lease, or that are being marked, are not alive.
-- A node whose wake stream is gone would sleep for ever: FENCED_NODE, as if it had been given up.
if call('EXISTS', D .. 'wake:' .. NODE) == 0 then return {'FENCED_NODE'} end
call('SET', D .. 'node:' .. NODE, '1', 'PX', ARGV[5])
if ARGV[6] == '1' then
  for _, key in ipairs({P .. 'format', P .. 'policy', P .. 'epoch'}) do keep(key) end
  for _, key in ipairs({'numbers', 'nodes', 'dying', 'rooms', 'sessions', 'lost', 'displaced',
      'ledger', 't:version', 't:tokens', 't:bans', 't:tickets', 'wake:' .. NODE, 'of:' .. NODE}) do
    keep(D .. key)
  end
end
local reply = {'OK'}
for _, node in ipairs(call('SMEMBERS', D .. 'nodes')) do
  reply[#reply + 1] = node
  reply[#reply + 1] = call('EXISTS', D .. 'node:' .. node)
end
for _, node in ipairs(call('SMEMBERS', D .. 'dying')) do
  reply[#reply + 1] = node
  reply[#reply + 1] = 0
end
return reply
