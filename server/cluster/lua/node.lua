-- So is one that was given up.
if call('SISMEMBER', D .. 'nodes', NODE) == 0 then return {'FENCED_NODE'} end
