#!lua flags=allow-oom
-- with: digits epoch time wake stays counts keeping losing
-- retire(most): this node is fenced at once, and up to `most` of its sessions are lost. OK left: to be
-- called again until that is 0. With the last node goes all that is nobody's.
if call('SMOVE', D .. 'nodes', D .. 'dying', NODE) == 1 then
  keep(D .. 'dying')
elseif call('SISMEMBER', D .. 'dying', NODE) == 0 then
  return {'OK', 0}
end
call('DEL', D .. 'node:' .. NODE)
local left = lose_all(NODE, ARGV[5])
if left == 0 and call('SCARD', D .. 'nodes') + call('SCARD', D .. 'dying') == 0 then
  call('DEL', P .. 'epoch', P .. 'format', P .. 'policy', D .. 'numbers', D .. 'rooms',
    D .. 'sessions', D .. 'lost', D .. 'displaced', D .. 'ledger', D .. 't:version', D .. 't:tokens',
    D .. 't:bans', D .. 't:tickets')
end
return {'OK', left}
