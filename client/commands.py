"""The command table, and what a typed line means.

Everything that is known about a command is its row in ``COMMANDS``: parsing, completion,
``/help`` and the table in docs/USING.md are made from it; only the few words that stand beside it
in the list of all are elsewhere (``cheatsheet``). A handler only says which action is meant; the
actions themselves are the session's (``Actions``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import i18n
from client.cheatsheet import KEYS, SHORT
from client.events import CommandView, Copying, Error, Event, Help, KeyHelp, Notifying
from i18n import N_, _

RENDERERS = ("rich", "minimal", "json")
PEOPLE = ("rich", "minimal")  # renderers that somebody looks at

# Kinds of arguments. The last two take the rest of the line.
COMMAND, NICK, ROOM, OK, WHEN = "command", "nick", "room", "ok", "when"
LANGUAGE, DELETE, PLACE = "language", "delete", "place"
TEXT, SECRET = "text", "secret"  # noqa: S105  # the name of a kind, not a secret
_REST = (TEXT, SECRET)

NOTIFY = ("all", "mention", "off")  # the choices of ``/notify``
_KEYS = "keys"  # what ``/help`` knows besides commands
LOOKED_BACK, LOOKED_BACK_MOST = 20, 1000  # messages of ``/history``

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# What may stand before a command without being seen, and how input methods may write its sign.
_UNSEEN = r"[\s\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]*"
_ALMOST_COMMAND = re.compile(rf"{_UNSEEN}[/\uff0f]{_UNSEEN}(\S+)")


class Actions(Protocol):
    """What the session does for a line. Called by the input thread only."""

    def say(self, text: str, kind: str = "text") -> None:
        """Post to the room that is shown; ``kind`` is ``text`` or ``action``."""

    def private(self, nick: str, text: str) -> None:
        """Post to one member of the room."""

    def refuse(self, text: str, reason: str) -> None:
        """Hand a line back with ``NotSent``, for the room that is shown."""

    def rename(self, nick: str) -> None:
        """Ask for another nickname."""

    def switch(self, room: str, secret: str | None) -> None:
        """Go to another room; without a secret, the one that was given for it before is used."""

    def rooms(self) -> None:
        """Answer with ``RoomList``."""

    def who(self) -> None:
        """Answer with ``MemberList``."""

    def verify(self, nick: str | None, confirm: bool) -> None:
        """Answer with ``Verification``, or mark that member as verified."""

    def invite(self) -> None:
        """Answer with ``Invite``."""

    def resend(self) -> None:
        """Send again what was handed back last."""

    def ignore(self, nick: str | None) -> None:
        """Show nothing more of a member, or say who is ignored."""

    def unignore(self, nick: str) -> None:
        """Show that member again."""

    def language(self, code: str) -> None:
        """Speak another language from now on."""

    def history(self, count: int, text: str) -> None:
        """Answer with ``History``: the last ``count`` messages that contain ``text``."""

    def clear(self) -> None:
        """Forget what was shown."""

    def reconnect(self) -> None:
        """Try to connect again now."""

    def panic(self, delete: bool) -> None:
        """Forget everything and leave at once; with ``delete``, remove the history's file too."""

    def quit(self) -> None:
        """Leave."""

    def emit(self, event: Event) -> None:
        """Show an event that did not need the session."""


@dataclass(frozen=True)
class Call:
    """One command as typed: who acts, its arguments by place, and the renderer in use."""

    client: Actions
    arguments: tuple[str, ...]
    renderer: str

    def argument(self, place: int) -> str | None:
        return self.arguments[place] if place < len(self.arguments) else None


@dataclass(frozen=True)
class Command:
    """One row. ``kinds`` has a kind for each argument, of which the first ``required`` must be
    there; ``help`` is a message to translate when it is shown."""

    name: str
    aliases: tuple[str, ...]
    usage: str
    kinds: tuple[str, ...]
    required: int
    help: str
    run: Callable[[Call], None]
    where: tuple[str, ...] = RENDERERS

    def written(self) -> str:
        """The command as one types it, such as ``/nick NAME``."""
        return f"/{self.name} {self.usage}".rstrip()


class _Misused(Exception):
    """The arguments are not what the row asks for."""


def _help(call: Call) -> None:
    wanted = call.argument(0)
    if wanted is None:
        rows = (row for row in COMMANDS if call.renderer in row.where)
        call.client.emit(Help(tuple(_listed(row, call.renderer) for row in rows)))
        return
    wanted = wanted.removeprefix("/")
    row = find(wanted)
    if row is not None:
        call.client.emit(Help((_view(row),)))
    elif wanted.casefold() == _KEYS and call.renderer in PEOPLE:
        keys = (key for key in KEYS if call.renderer in key.where)
        call.client.emit(KeyHelp(tuple(CommandView(key.names, _(key.help)) for key in keys)))
    else:
        call.client.emit(_unknown(wanted))


def _listed(row: Command, renderer: str) -> CommandView:
    """A line of the list: short for people; where there are columns, the arguments are said
    when the command is typed."""
    if renderer not in PEOPLE:
        return _view(row)
    return CommandView(
        f"/{row.name}" if renderer == "rich" else row.written(), _(SHORT.get(row.name, row.help))
    )


def _view(row: Command) -> CommandView:
    text = _(row.help)
    if row.aliases:
        others = ", ".join(f"/{alias}" for alias in row.aliases)
        text = _("{help} Also: {aliases}.").format(help=text, aliases=others)
    return CommandView(row.written(), text)


def _nick(call: Call) -> None:
    call.client.rename(call.arguments[0])


def _room(call: Call) -> None:
    call.client.switch(call.arguments[0], call.argument(1))


def _rooms(call: Call) -> None:
    call.client.rooms()


def _who(call: Call) -> None:
    call.client.who()


def _me(call: Call) -> None:
    call.client.say(call.arguments[0], kind="action")


def _msg(call: Call) -> None:
    call.client.private(call.arguments[0], call.arguments[1])


def _verify(call: Call) -> None:
    confirm = call.argument(1)
    if confirm is not None and confirm.casefold() != "ok":
        raise _Misused
    call.client.verify(call.argument(0), confirm is not None)


def _invite(call: Call) -> None:
    call.client.invite()


def _copy(call: Call) -> None:
    place = call.argument(0) or "1"
    # As many digits as there may be messages: Python refuses to read thousands of them.
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", place, re.ASCII):
        raise _Misused
    call.client.emit(Copying(int(place[-9:])))


def _resend(call: Call) -> None:
    call.client.resend()


def _notify(call: Call) -> None:
    mode = (call.argument(0) or "").casefold()
    if mode and mode not in NOTIFY:
        raise _Misused
    call.client.emit(Notifying(mode or None))


def _ignore(call: Call) -> None:
    call.client.ignore(call.argument(0))


def _unignore(call: Call) -> None:
    call.client.unignore(call.arguments[0])


def _language(call: Call) -> None:
    call.client.language(call.arguments[0])


def _history(call: Call) -> None:
    count, text = LOOKED_BACK, call.argument(0) or ""
    first, rest = _first_word(text)
    if re.fullmatch(r"[0-9]+", first):
        # Cut, because Python refuses to read thousands of digits.
        count, text = min(int(first[:9]), LOOKED_BACK_MOST), rest.strip()
    if not count:
        raise _Misused
    call.client.history(count, text)


def _clear(call: Call) -> None:
    call.client.clear()


def _reconnect(call: Call) -> None:
    call.client.reconnect()


def _panic(call: Call) -> None:
    wanted = (call.argument(0) or "").casefold()
    if wanted and wanted != DELETE:
        raise _Misused
    call.client.panic(wanted == DELETE)


def _quit(call: Call) -> None:
    call.client.quit()


COMMANDS = (
    Command("help", (), "[command]", (COMMAND,), 0, N_("Show the commands, or one."), _help),
    Command("nick", (), "NAME", (NICK,), 1, N_("Change your nickname."), _nick),
    Command(
        "room", ("join",), "NAME [secret]", (ROOM, SECRET), 1,
        N_("Go to another room, which begins to exist when you enter it."), _room,
    ),
    Command("rooms", ("list",), "", (), 0, N_("List the rooms and how many are in each."), _rooms),
    Command("who", ("names",), "", (), 0, N_("List who is in this room."), _who),
    Command("me", (), "ACTION", (TEXT,), 1, N_("Say what you are doing."), _me),
    Command("msg", (), "NICK TEXT", (NICK, TEXT), 2, N_("Write to one member alone."), _msg),
    Command(
        "verify", (), "[NICK [ok]]", (NICK, OK), 0,
        N_("Show the digits to compare, so that nobody can be in between; ok: they were equal."),
        _verify,
    ),
    Command(
        "copy", (), "[N]", (PLACE,), 0,
        N_("Put the last message on the clipboard, or the Nth from the end."), _copy, ("rich",),
    ),
    Command("invite", (), "", (), 0, N_("Make a link that lets others into this room."), _invite),
    Command(
        "resend", (), "", (), 0, N_("Send the last line again that was not sent."), _resend, PEOPLE
    ),
    Command(
        "notify", (), "[MODE]", (WHEN,), 0,
        N_("Choose what rings while you look elsewhere: all, mention or off."),
        _notify, ("rich",),
    ),
    Command(
        "ignore", (), "[NICK]", (NICK,), 0, N_("Show nothing more of somebody."), _ignore
    ),
    Command("unignore", (), "NICK", (NICK,), 1, N_("Show somebody again."), _unignore),
    Command(
        "language", (), "CODE", (LANGUAGE,), 1, N_("Change the language."), _language,
    ),
    Command(
        "history", (), "[N] [TEXT]", (TEXT,), 0,
        N_("Show what was recorded of this room, and private messages: the last 20, or N, that "
           "contain TEXT."),
        _history,
    ),
    Command("clear", (), "", (), 0, N_("Clear what is on the screen."), _clear, PEOPLE),
    Command(
        "reconnect", (), "", (), 0,
        N_("Try a new connection now, also where the present one seems well."), _reconnect,
    ),
    Command(
        "panic", (), "[delete]", (DELETE,), 0,
        N_("Forget everything, clear the screen and what has scrolled away, and leave at once; "
           "delete: remove the history too."),
        _panic,
    ),
    Command("quit", ("exit",), "", (), 0, N_("Leave the chat."), _quit),
)  # fmt: skip

_BY_WORD = {word: row for row in COMMANDS for word in (row.name, *row.aliases)}
# What other programs call it.
_ELSEWHERE = {
    **dict.fromkeys(("dm", "pm", "query", "w", "whisper", "tell"), "msg"),
    **dict.fromkeys(("close", "leave", "part", "bye", "disconnect"), "quit"),
    **dict.fromkeys(("find", "lastlog", "log", "search", "grep"), "history"),
    **dict.fromkeys(("channel", "switch", "topic"), "room"),
    **dict.fromkeys(("lang", "locale"), "language"),
    **dict.fromkeys(("block", "kick", "ban", "mute"), "ignore"),
    **dict.fromkeys(("unblock", "unban", "unmute"), "unignore"),
    **dict.fromkeys(("commands", "h", "man", "?"), "help"),
    **dict.fromkeys(("keys", "fingerprint", "trust"), "verify"),
    **dict.fromkeys(("members", "users", "people"), "who"),
    "action": "me",
}
# What cannot be undone, or would say to the room what was meant for one.
_NEVER_MEANT = ("clear", "me", "panic")


def find(word: str) -> Command | None:
    """The row of a command or alias, without its ``/``; None if there is no such command."""
    return _BY_WORD.get(word.casefold())


def nearest(word: str) -> Command | None:
    """The command that was probably meant; never one that cannot be undone, or that everybody
    would read."""
    if row := _BY_WORD.get(_ELSEWHERE.get(word.casefold(), "")):
        return row
    close = difflib.get_close_matches(word.casefold(), _BY_WORD, n=1, cutoff=0.5)
    row = _BY_WORD[close[0]] if close else None
    # Nor is another one offered in the place of one of these: in a hurry that helps nobody.
    return None if row is None or row.name in _NEVER_MEANT else row


def run_line(line: str, client: Actions, renderer: str = "minimal") -> None:
    """Do what a line says: a command where it starts with ``/``, else a message to the room.

    Never raises for anything that can be typed. Refusals are ``Error`` events with the codes
    ``unknown_command``, ``almost_command``, ``usage`` and ``not_here``, and ``not_text`` through
    ``refuse``.
    """
    if not line.strip():
        return
    if _LONE_SURROGATE.search(line):  # bytes of a pipe that are not UTF-8
        client.refuse(line, "not_text")
    elif line.startswith("//"):
        client.say(line[1:])
    elif line.startswith("/"):
        _run_command(line, client, renderer)
    elif line.strip() == "q" and renderer in PEOPLE:
        client.quit()
    elif command := _almost_command(line):
        client.emit(_not_sent(_first_word(command)[0]))
    else:
        client.say(line)


def _run_command(line: str, client: Actions, renderer: str) -> None:
    word, rest = _first_word(line[1:])
    row = find(word)
    if row is None:
        client.emit(_unknown(word))
    elif renderer not in row.where:
        text = _("/{command} has no meaning for this renderer.").format(command=row.name)
        client.emit(Error("not_here", text))
    else:
        try:
            row.run(Call(client, _arguments(row, rest), renderer))
        except _Misused:
            text = _("Use it like this: {usage}. {help}")
            client.emit(Error("usage", text.format(usage=row.written(), help=_(row.help))))


def _almost_command(line: str) -> str:
    """What a line is without that which stands before its command; "" if it has none."""
    found = _ALMOST_COMMAND.match(line)
    if found is None:
        return ""
    word = found[1].casefold()
    return line[found.start(1) :] if word in _BY_WORD or word in _ELSEWHERE else ""


def _not_sent(word: str) -> Error:
    """The answer to a command with something before it: it may be for one person alone."""
    text = _(
        "Not sent: a command begins with / at the very beginning of the line; write /{word} there, "
        "or // to send it as a message."
    )
    return Error("almost_command", text.format(word=word))


def _first_word(text: str) -> tuple[str, str]:
    """The first word, and what comes after the one space that ends it."""
    found = re.match(r"(\S*)\s?", text)
    assert found is not None  # noqa: S101  # the pattern matches anything
    return found[1], text[found.end():]


def _arguments(row: Command, rest: str) -> tuple[str, ...]:
    """Cut what follows the command into its arguments; raises ``_Misused``."""
    found: list[str] = []
    for kind in row.kinds:
        if kind in _REST:
            argument, rest = (rest.rstrip() if kind == SECRET else rest.strip()), ""
        else:
            argument, rest = _first_word(rest.lstrip())
        if not argument:
            break
        found.append(argument)
    if rest.strip() or len(found) < row.required:
        raise _Misused
    return tuple(found)


def _unknown(word: str) -> Error:
    """The answer to an unknown command. Only its first word is repeated: the rest may be a
    secret, or a message for one person."""
    meant = nearest(word)
    if meant is None:
        text = _("There is no command /{word}. /help lists them; //{word} sends it as a message.")
        return Error("unknown_command", text.format(word=word))
    text = _(
        "There is no command /{word}. Did you mean /{meant}? //{word} sends it as a message."
    )
    return Error("unknown_command", text.format(word=word, meant=meant.name))


def usage(line: str) -> str:
    """How the command that is being typed is written, while its arguments are still to come."""
    word, rest = _first_word(line[1:])
    row = find(word) if line.startswith("/") and not line.startswith("//") else None
    if row is None or not row.kinds or not line[len(word) + 1 :] or "\n" in line:
        return ""
    typed = len(rest.split())
    return row.written() if typed < len(row.kinds) else ""


def may_remember(line: str) -> bool:
    """Whether a line may enter the input history: one with a secret never does, nor one that
    a slip of the finger kept from being such a command."""
    if not line.startswith("/"):
        command = _almost_command(line)
        return not command or may_remember("/" + command)
    if line.startswith("//"):
        return True
    word, rest = _first_word(line[1:])
    row = find(word) or nearest(word)
    return row is None or SECRET not in row.kinds or len(rest.split()) <= row.kinds.index(SECRET)


def complete(
    before: str, nicks: Iterable[str] = (), rooms: Iterable[str] = ()
) -> tuple[int, list[str]]:
    """What could stand where the word under the cursor begins.

    ``before`` is the line up to the cursor. Returns the index where the word starts and what
    may replace it from there to the cursor, in the order in which Tab offers them.
    """
    start = max((place.end() for place in re.finditer(r"\s", before)), default=0)
    word = before[start:]
    if before.startswith("/") and not before.startswith("//"):
        return start, _complete_command(before[:start], word, nicks, rooms)
    ending = ": " if start == 0 else " "
    mark = "@" if word.startswith("@") else ""
    if not word:
        return start, []
    return start, [mark + nick + ending for nick in _matching(word[len(mark):], nicks)]


def _complete_command(
    earlier: str, word: str, nicks: Iterable[str], rooms: Iterable[str]
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
    if len(given) >= len(row.kinds) and kind not in _REST:
        return []
    choices = {
        COMMAND: [_KEYS, *(row.name for row in COMMANDS)], NICK: nicks, ROOM: rooms, OK: ["ok"],
        TEXT: nicks, WHEN: NOTIFY, LANGUAGE: i18n.available(), DELETE: [DELETE],
    }  # fmt: skip
    if kind == TEXT and not word:
        return []
    return [f"{name} " for name in _matching(word, choices.get(kind, ()))]


def _matching(prefix: str, names: Iterable[str]) -> list[str]:
    folded = prefix.casefold()
    return sorted(name for name in names if name.casefold().startswith(folded))
