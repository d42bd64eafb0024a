#!lua
-- with: digits epoch node time wake
-- say(once, frame): all nodes give it to whoever is connected. OK how many those are.
local is_new = call('SET', D .. 'said:' .. ARGV[5], '1', 'NX', 'PXAT', UNTIL)
if is_new then
  for _, node in ipairs(call('SMEMBERS', D .. 'nodes')) do tell(node, 'a', ARGV[6]) end
end
return {'OK', call('SCARD', D .. 'sessions') - call('ZCARD', D .. 'lost')}
