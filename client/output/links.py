"""Links in a text: where they are, and what makes a terminal take them for one piece (OSC 8).

Pure, and nothing is ever fetched. The target of a link is what is shown, letter for letter, so
that nobody can show one address and lead to another; nothing but http, https and cmdchat is one.
The sequence is that of terminals since VTE 0.50 (gist.github.com/egmontkob, "Hyperlinks in
terminal emulators"); what does not know it ignores it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator

from client.output.wrapping import Row, Span

# GNU screen keeps 768 bytes of a sequence of this kind, and writes the rest on the screen.
LINK_MOST = 512

# RFC 3986, in ASCII: what is not of it ends a link, and a percent sign has two digits behind it,
# which do not stand for a control character.
_LINK = re.compile(
    r"(?<![A-Za-z0-9+.-])(?:https?|cmdchat)://"
    r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%(?:[2-689A-F][0-9A-F]|7[0-9A-E]))+",
    re.IGNORECASE,
)
_ENDING = ".,:;!?'*"  # after a link these belong to the sentence
_PAIRS = {")": "(", "]": "["}


def links(text: str) -> Iterator[tuple[int, int]]:
    """Where the links of a text begin and end."""
    if "://" not in text:
        return
    for found in _LINK.finditer(text):
        if found.end() - found.start() > LINK_MOST or _goes_on(text[found.end(): found.end() + 1]):
            continue
        link = _trimmed(found[0])
        if len(link.partition("://")[2]) > 0:
            yield found.start(), found.start() + len(link)


def _goes_on(following: str) -> bool:
    """Whether a reader takes what follows a link for a part of it, which it cannot be here."""
    if following.isascii():
        return following == "%"
    return unicodedata.category(following)[0] not in "ZPS"


def _trimmed(link: str) -> str:
    """The link without what ends the sentence or the brackets that it stands in."""
    while link[-1] in _ENDING or (
        link[-1] in _PAIRS and link.count(link[-1]) > link.count(_PAIRS[link[-1]])
    ):
        link = link[:-1]
    return link


def linked(row: Row) -> Row:
    """The row with its links marked as such; nicknames are none."""
    if not any("://" in span.text for span in row.spans):
        return row
    return row._replace(spans=tuple(piece for span in row.spans for piece in _cut(span)))


def _cut(span: Span) -> Iterator[Span]:
    end = 0
    found = () if span.style.startswith("nick:") else links(span.text)
    for start, behind in found:
        if start > end:
            yield span._replace(text=span.text[end:start])
        link = span.text[start:behind]
        yield span._replace(text=link, link=link)
        end = behind
    if end < len(span.text) or not span.text:
        yield span._replace(text=span.text[end:])


def hyperlink(target: str, shown: str) -> str:
    """``shown`` as a link; pieces of one target, on several rows too, are one link."""
    name = hashlib.sha256(target.encode()).hexdigest()[:12]
    return f"\x1b]8;id={name};{target}\x1b\\{shown}\x1b]8;;\x1b\\"
