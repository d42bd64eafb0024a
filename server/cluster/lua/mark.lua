#!lua flags=allow-oom
-- with: digits epoch node time wake stays counts keeping losing
-- mark(DEAD, most): a node without a lease is fenced at once and for good, and up to `most` of its
-- sessions are lost. OK left: to be called again until that is 0 / LEASED: it is alive.
local DEAD = ARGV[5]
if call('EXISTS', D .. 'node:' .. DEAD) == 1 or DEAD == NODE then return {'LEASED'} end
if call('SMOVE', D .. 'nodes', D .. 'dying', DEAD) == 1 then
  keep(D .. 'dying')
elseif call('SISMEMBER', D .. 'dying', DEAD) == 0 then
  return {'OK', 0}
end
return {'OK', lose_all(DEAD, ARGV[6])}
