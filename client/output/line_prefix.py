"""The sign that begins each line of ours where lines only follow one another.

There nothing can be moved: a terminal that takes a text for wider than we do, or a window made
narrower later, lets it go on in the first column, where a line of ours would begin. So all of
ours begin with a sign that no text can contain: in texts something else stands for it, and
for what looks like it. It was chosen so that speech synthesizers say nothing for it.
"""

from __future__ import annotations

import re

from client.output.charset import Charset

_SIGN, _PLAIN_SIGN = "▌", "||"
# Block elements, and bars that are as thick.
_ALIKE = re.compile("[\u2580-\u259f\u25ae\u25af\u2758-\u275a\U0001fb00-\U0001fbaf]")
_STANDS_FOR_IT = "#"
_PLAIN_ALIKE = re.compile(r"\|(?=\|)")
_PLAIN_STANDS_FOR_IT = "|."


class LinePrefix:
    """The one for a terminal with these ``charset``, and texts as it shows them."""

    def __init__(self, charset: Charset | None = None) -> None:
        self.charset = charset or Charset()
        self._single = self.charset.shown(_SIGN) == _SIGN
        self.text = _SIGN if self._single else _PLAIN_SIGN

    def shown(self, text: str, before: str = "") -> str:
        """A text without it, to be written behind ``before``, which is without it, too."""
        text = self.charset.shown(text)
        if self._single:
            return text if text.isascii() else _ALIKE.sub(_STANDS_FOR_IT, text)
        kept = _PLAIN_ALIKE.sub(_PLAIN_STANDS_FOR_IT, text)
        return "." + kept if before.endswith("|") and kept.startswith("|") else kept
