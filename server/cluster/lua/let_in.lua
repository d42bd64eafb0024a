#!lua
-- with: digits epoch node time stays looks newcomers
-- let_in(FP, once, nick, token, pinned, group, sign, most, look…): a session that is this node's.
-- OK n / DISPLACED / AGAIN: there is one / TOKEN fp…: who came in with that token / FULL / TAKEN 0 nick…:
-- whose looks these are / LOST ms nick…: the same, all away, the last one for so long.
read_newcomer(7)
local before, why_not = made_before('n')
if before then return {'OK', before} end
if why_not then return why_not end
return {'OK', make_session()}
