#!lua flags=no-writes
-- with: digits epoch node
-- find(look...): OK fingerprint of whose nickname has one of these looks / NONE.
for i = 5, #ARGV do
  local fingerprint = call('GET', D .. 'look:' .. ARGV[i])
  if fingerprint then return {'OK', fingerprint} end
end
return {'NONE'}
