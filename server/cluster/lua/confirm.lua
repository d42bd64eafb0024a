#!lua flags=allow-oom
-- with: digits epoch node session
-- confirm(FP, n, room, number): what waited for it alone up to that number has come. OK / GONE / FENCED.
local K, NUMBER = ARGV[8], ARGV[9]
local R = D .. 'room:' .. K .. ':'
local s = held('r:' .. K)
if not s then return {'FENCED'} end
local at = call('HGET', R .. 'state', 'number')
if not s[5] or not at then return {'GONE'} end
local P_KEY, Q = R .. 'p:' .. s[5], R .. 'q:' .. s[5]
local gone = call('XRANGE', P_KEY, '-', NUMBER .. '-0')
if not gone[1] then return {'OK'} end
local bytes, last = {}, nil
for i = 1, #gone do
  last = string.match(gone[i][1], '^%d+')
  local fields = gone[i][2] -- a, after, s, sender, k, kind, e, rest; no rest where it fell behind
  local sender = fields[4]
  if fields[8] then
    bytes[sender] = (bytes[sender] or 0) + 26 + #fields[6] + #at + #last + #fields[8]
  end
end
for sender, size in pairs(bytes) do
  if call('HINCRBY', Q, 'b:' .. sender, -size) <= 0 then call('HDEL', Q, 'b:' .. sender) end
  if sender ~= '0' and call('HINCRBY', Q, 'posts', -size) <= 0 then call('HDEL', Q, 'posts') end
end
call('XTRIM', P_KEY, 'MINID', digits(last + 1) .. '-0')
return {'OK'}
