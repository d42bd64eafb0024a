-- ARGV of every script: prefix, epoch, node, ms that keys stay. A node whose engine was emptied is told
-- so before anything else.
local call = redis.call
local P, EPOCH, NODE = ARGV[1], ARGV[2], ARGV[3]
if call('GET', P .. 'epoch') ~= EPOCH then return {'FORGOTTEN'} end
local D = P .. EPOCH .. ':'
