#!lua flags=no-writes
-- with: digits epoch node state
-- load(room, roster): OK number log name seq first roster, as of that seq / NONE.
local R = D .. 'room:' .. ARGV[5] .. ':'
if call('EXISTS', R .. 'state') == 0 then return {'NONE'} end
return {'OK', described(R, ARGV[6])}
