#!lua flags=allow-oom
-- with: digits epoch node session
-- answer(FP, n, ref, encoded, token or ''): keep an answer that a node gave by itself. OK / AGAIN answer
-- token / REPEATED / FENCED.
local REF, ENCODED, TOKEN = ARGV[8], ARGV[9], ARGV[10]
local s = held()
if not s then return {'FENCED'} end
local other = not_now(s, REF)
if other then return other end
local reply = answered(s, 'OK', REF, 0, ENCODED)
if TOKEN ~= '' then
  for _, field in ipairs(call('HKEYS', S)) do -- those whose answers are not kept any more
    local ref = string.match(field, '^m:(%d+)$')
    if ref and not call('XRANGE', S .. ':answers', ref .. '-0', ref .. '-0')[1] then
      call('HDEL', S, field)
    end
  end
  call('HSET', S, 'm:' .. REF, TOKEN)
end
return reply
