#!lua flags=allow-oom
-- with: digits epoch node session
-- minted(FP, n, ref, token): the answer to that ref, which is kept, brings another token. OK / NONE / FENCED.
local REF, TOKEN = ARGV[8], ARGV[9]
if not held() then return {'FENCED'} end
if call('HEXISTS', S, 'm:' .. REF) == 0 then return {'NONE'} end
call('HSET', S, 'm:' .. REF, TOKEN)
return {'OK'}
