"""Whether a password is among the first that somebody would try, by a few rules of thumb.

No proof of the opposite: a name and a year are not found out. What is found out is what programs
that guess try in their first hours: short ones, rows of keys, and the commonest words however
they are dressed up.
"""

from __future__ import annotations

import math
import unicodedata

ENOUGH_BITS = 45  # about eight letters and digits by chance
_SHORT = 8
_RUN = 0.25  # what a character counts that goes on as the two before it did

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "azertyuiop", "qwertzuiop", "1234567890",
         "abcdefghijklmnopqrstuvwxyz")  # fmt: skip
_DRESSED = str.maketrans("0134578@$!|", "oleastbasil")
# Letters only. The last line is what our own documents have in examples.
_COMMON = frozenset(
    """
    abc access admin administrator adobe amour angel apple arsenal asdf ashley azerty bailey
    baseball basketball batman biteme blink boss buster butterfly changeme charlie chat chelsea
    chocolate computer cookie correcthorsebatterystaple daniel default donald dragon facebook
    family flower
    football freedom friends ginger google guest hallo hannah hello hockey hunter iloveyou
    internet jennifer jessica jesus jordan killer letmein liverpool login lovely loveme maggie
    master matrix merlin michael michelle minecraft money monkey mustang mynoob naruto nicole ninja
    nothing passe passwd password passwort pepper pokemon princess qazwsx qwer qwerty qwertz
    robert root samsung secret senha shadow silver soccer starwars strawberry summer sunshine
    superman test thomas thunder tigger trustno user welcome whatever winter wordpass zaq
    cmdchat mysecurepass testpass yourpassword yoursecurepassword
    """.split()
)


def is_guessable(password: str) -> bool:
    """Whether ``password`` is one that is guessed quickly."""
    text = unicodedata.normalize("NFKC", password).strip()
    return len(text) < _SHORT or _is_common(text) or _bits(_block(text)) < ENOUGH_BITS


def _is_common(text: str) -> bool:
    folded = text.casefold()
    bare = folded.strip("".join(each for each in folded if not each.isalpha()))
    dressed = {folded, bare, folded.translate(_DRESSED), bare.translate(_DRESSED)}
    return any(_letters(each) in _COMMON for each in dressed)


def _letters(text: str) -> str:
    return "".join(each for each in text if each.isalpha())


def _block(text: str) -> str:
    """What ``text`` is the repetition of; itself, as a rule."""
    return text[: (text + text).index(text, 1)]


def _bits(text: str) -> float:
    """What it would take to find ``text`` if its characters were chosen by chance."""
    kinds = ((str.isdecimal, 10), (str.islower, 26), (str.isupper, 26))
    pool = sum(size for kind, size in kinds if any(map(kind, text)))
    if not all(any(kind(each) for kind, _size in kinds) for each in text):
        pool += 32
    folded = text.casefold()
    threes = zip(folded, folded[1:], folded[2:], strict=False)
    following = sum(_follows(one, two) and _follows(two, three) for one, two, three in threes)
    return (len(text) - following * (1 - _RUN)) * math.log2(max(pool, 2))


def _follows(one: str, other: str) -> bool:
    pair = {one + other, other + one}
    return one == other or any(each in row for each in pair for row in _ROWS)
