#!lua flags=allow-oom
-- with: digits epoch node time session counts stays keeping losing
-- lost(FP, n): its connection is gone: it is no node's, and its grace begins. OK ms / FENCED.
if not held() then return {'FENCED'} end
lose(FP, session_of(S))
return {'OK', digits(NOW)}
