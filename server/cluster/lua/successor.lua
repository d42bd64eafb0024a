#!lua flags=allow-oom
-- with:
-- successor(): what is said on each new connection before anything else. What another process has begun, whose
-- place this one took, may lack the last of what nodes and members have seen, and would give its numbers out once
-- more: its epoch is over. OK: it is this one's, or there is none / OVER.
local call = redis.call
local P = ARGV[1]
local run = string.match(call('INFO', 'server'), 'run_id:(%x+)')
local known = call('HGET', P .. 'policy', 'run')
if not known or known == run then return {'OK'} end
call('DEL', P .. 'epoch')
return {'OVER'}
