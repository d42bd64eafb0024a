"""What Tab offers: commands and their arguments, nicknames, rooms. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

import i18n
from client.commands import (
    ABOUT_KEYS,
    ALL,
    COMMAND,
    COMMANDS,
    DELETE,
    IDENTITY,
    LANGUAGE,
    NICK,
    NOTIFY,
    OK,
    OPEN,
    REST,
    ROOM,
    TEXT,
    TOKEN,
    WHEN,
    find,
)


def complete(
    before: str,
    nicks: Iterable[str] = (),
    rooms: Iterable[str] = (),
    opened: Iterable[str] = (),
) -> tuple[int, list[str]]:
    """What could stand where the word under the cursor begins.

    ``before`` is the line up to the cursor. Returns the index where the word starts and what
    may replace it from there to the cursor, in the order in which Tab offers them. ``opened``: of
    the ``rooms``, those that are open.
    """
    start = max((place.end() for place in re.finditer(r"\s", before)), default=0)
    word = before[start:]
    if before.startswith("/") and not before.startswith("//"):
        return start, _complete_command(before[:start], word, nicks, rooms, opened)
    ending = ": " if start == 0 else " "
    mark = "@" if word.startswith("@") else ""
    if not word:
        return start, []
    return start, [mark + nick + ending for nick in _matching(word[len(mark):], nicks)]


def _complete_command(
    earlier: str, word: str, nicks: Iterable[str], rooms: Iterable[str], opened: Iterable[str]
) -> list[str]:
    if not earlier:
        if word == "/":  # in the order of the list, which begins with the harmless
            return [f"/{row.name} " for row in COMMANDS]
        return [f"/{name} " for name in _matching(word[1:], (row.name for row in COMMANDS))]
    command, *given = earlier[1:].split()
    row = find(command)
    if row is None or not row.kinds:
        return []
    kind = row.kinds[min(len(given), len(row.kinds) - 1)]
    if len(given) >= len(row.kinds) and kind not in REST:
        return []
    choices = {
        COMMAND: [ABOUT_KEYS, *(row.name for row in COMMANDS)], NICK: nicks, ROOM: rooms,
        OPEN: opened, OK: ["ok"], TEXT: nicks, WHEN: NOTIFY, LANGUAGE: i18n.available(),
        DELETE: [DELETE], ALL: [ALL], IDENTITY: [IDENTITY], TOKEN: [TOKEN],
    }  # fmt: skip
    if kind == TEXT and not word:
        return []
    if kind in (NICK, OPEN) and word.startswith("@"):  # as a person's view is called
        return [f"@{name} " for name in _matching(word[1:], nicks)]
    return [f"{name} " for name in _matching(word, choices.get(kind, ()))]


def _matching(prefix: str, names: Iterable[str]) -> list[str]:
    folded = prefix.casefold()
    return sorted(name for name in names if name.casefold().startswith(folded))
