"""The command table, and what a typed line means.

Everything that is known about a command is its row in ``COMMANDS``: parsing, completion, ``/help``
and the table in docs/USING.md are made from it, and it names what does the work, by what a ``Call``
has: whoever types, the parts of the program around it, the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import i18n
from client import events, messages
from client.cheatsheet import KEYS
from i18n import N_, _
from protocol.dataclass import dataclass

if TYPE_CHECKING:
    from client.local_user import LocalUser

RENDERERS = ("rich", "minimal", "json")
PEOPLE = ("rich", "minimal")  # renderers that somebody looks at

# Kinds of arguments. The last two take the rest of the line.
COMMAND, NICK, ROOM, OPEN, OK, WHEN = "command", "nick", "room", "open", "ok", "when"
LANGUAGE, DELETE, IDENTITY, TOKEN = "language", "delete", "identity", "--token"
PLACE, ALL = "place", "all"
TEXT, SECRET = "text", "secret"  # noqa: S105  # the name of a kind, not a secret
REST = (TEXT, SECRET)

NOTIFY = ("all", "mention", "off")  # the choices of ``/notify``
ABOUT_KEYS = "keys"  # what ``/help`` knows besides commands
LOOKED_BACK, LOOKED_BACK_MOST = 20, 1000  # messages of ``/history``
SHORT_MOST = 14  # columns: two commands stand side by side on 80, whatever the nicknames

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# What may stand before a command without being seen, and how input methods may write its sign.
_UNSEEN = r"[\s\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]*"
_ALMOST_COMMAND = re.compile(rf"{_UNSEEN}[/\uff0f]{_UNSEEN}(\S+)")


@dataclass(frozen=True)
class CommandContext:
    """What lines act on.

    ``emit`` shows an event in its place; ``look_back`` shows what was recorded of a room: so many
    messages with a text in them, or an error with a tag, None where nothing is recorded; ``find``
    looks for a text in what is shown; ``clock`` is the local time.
    """

    user: LocalUser
    emit: Callable[[events.Event], None]
    reconnect: Callable[[], None]
    panic: Callable[[bool, bool], None]  # whether the history goes, and the identity
    quit: Callable[[], None]
    look_back: Callable[[str, int, str, events.Tag, str | None], None] | None
    find: Callable[[str | None], None]
    clock: Callable[[], datetime]
    renderer: str


@dataclass(frozen=True)
class Call:
    """One command as typed: on whose behalf, and its arguments by place."""

    context: CommandContext
    arguments: tuple[str, ...]

    @property
    def user(self) -> LocalUser:
        return self.context.user

    def argument(self, place: int) -> str | None:
        return self.arguments[place] if place < len(self.arguments) else None


@dataclass(frozen=True)
class Command:
    """One row.

    ``usage`` names the arguments, in brackets those that may be missing, ``kinds`` has a kind for
    each.  ``short`` and ``help`` are messages to translate when they are shown: at most SHORT_MOST
    columns, and a sentence.  ``elsewhere``: what other programs call it.
    """

    name: str
    usage: str
    kinds: tuple[str, ...]
    short: str
    help: str
    run: Callable[[Call], None]
    aliases: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    where: tuple[str, ...] = RENDERERS
    # Not where it cannot be undone, or would say to the room what was meant for one.
    may_be_guessed: bool = True

    @property
    def required(self) -> int:
        """How many arguments there have to be."""
        return sum(not word.startswith("[") for word in self.usage.split())

    def written(self) -> str:
        """The command as one types it, such as ``/nick NAME``."""
        return f"/{self.name} {self.usage}".rstrip()


class _Misused(Exception):
    """The arguments are not what the row asks for."""


def _help(call: Call) -> None:
    context, wanted = call.context, call.argument(0)
    if wanted is None:
        rows = (row for row in COMMANDS if context.renderer in row.where)
        context.emit(events.Help(tuple(_listed(row, context.renderer) for row in rows)))
        return
    wanted = wanted.removeprefix("/")
    row = find(wanted)
    if row is not None:
        context.emit(events.Help((_view(row),)))
    elif wanted.casefold() == ABOUT_KEYS and context.renderer in PEOPLE:
        keys = (key for key in KEYS if context.renderer in key.where)
        views = (events.CommandView(key.names, _(key.help)) for key in keys)
        context.emit(events.KeyHelp(tuple(views)))
    else:
        context.emit(_unknown(wanted))


def _listed(row: Command, renderer: str) -> events.CommandView:
    """A line of the list: short for people; where there are columns, the arguments are said
    when the command is typed."""
    if renderer not in PEOPLE:
        return _view(row)
    return events.CommandView(f"/{row.name}" if renderer == "rich" else row.written(), _(row.short))


def _view(row: Command) -> events.CommandView:
    text = _(row.help)
    if row.aliases:
        others = ", ".join(f"/{alias}" for alias in row.aliases)
        text = _("{help} Also: {aliases}.").format(help=text, aliases=others)
    return events.CommandView(row.written(), text)


def _verify(call: Call) -> None:
    confirm = call.argument(1)
    if confirm is not None and confirm.casefold() != "ok":
        raise _Misused
    call.user.verify(call.argument(0), confirm is not None)


def _copy(call: Call) -> None:
    place = call.argument(0) or "1"
    # As many digits as there may be messages: Python refuses to read thousands of them.
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", place, re.ASCII):
        raise _Misused
    call.context.emit(events.Copying(int(place[-9:])))


def _notify(call: Call) -> None:
    mode = (call.argument(0) or "").casefold()
    if mode and mode not in NOTIFY:
        raise _Misused
    call.context.emit(events.Notifying(mode or None))


def _language(call: Call) -> None:
    wanted = i18n.match(call.arguments[0])
    if wanted is None or wanted not in i18n.available():
        known = ", ".join(f"{each} {i18n.LANGUAGES[each]}" for each in i18n.available())
        text = _("The languages are: {languages}.").format(languages=known)
        call.context.emit(events.Error("bad_language", text))
        return
    i18n.use(wanted)
    text = _("The language is now {language}.").format(language=i18n.LANGUAGES[wanted])
    call.context.emit(events.Notice(text))


def _history(call: Call) -> None:
    count, text = LOOKED_BACK, call.argument(0) or ""
    first, rest = _first_word(text)
    if re.fullmatch(r"[0-9]+", first):
        # Cut, because Python refuses to read thousands of digits.
        count, text = min(int(first[:9]), LOOKED_BACK_MOST), rest.strip()
    if not count:
        raise _Misused
    if call.context.look_back is None:
        call.context.emit(events.Error("no_history", messages.history("off")))
    else:
        user = call.user
        call.context.look_back(user.room, count, text, user.tag, user.person)


def _time(call: Call) -> None:
    now = call.context.clock()
    name, offset = now.tzname() or "", now.strftime("%z")
    zone = f"UTC{offset[:3]}:{offset[3:5]}"
    if name[:1].isalpha() and not name.startswith("UTC"):  # else it says the same
        zone = f"{name}, {zone}"
    text = _("It is {time} here ({zone}).").format(time=f"{now:%Y-%m-%d %H:%M}", zone=zone)
    call.context.emit(events.Notice(text))


def _clear(call: Call) -> None:
    call.user.forget_lines()
    call.context.emit(events.Cleared())


def _reconnect(call: Call) -> None:
    if call.user.is_connected:
        text = _("Trying another connection; the present one stays until then.")
        call.context.emit(events.Notice(text))
    call.context.reconnect()


def _resend(call: Call) -> None:
    wanted = (call.argument(0) or "").casefold()
    if wanted and wanted != ALL:
        raise _Misused
    call.user.resend(wanted == ALL)


def _leave(call: Call) -> None:
    if call.user.leave(call.argument(0)):
        call.context.quit()


def _invite(call: Call) -> None:
    wanted = [word.casefold() for word in call.arguments]
    if wanted not in ([], [TOKEN]):
        raise _Misused
    call.user.invite(bool(wanted))


def _panic(call: Call) -> None:
    wanted = [word.casefold() for word in call.arguments]
    if wanted != [DELETE, IDENTITY][: len(wanted)]:
        raise _Misused
    # Past all that may wait: no lock of the session's.
    call.context.panic(DELETE in wanted, IDENTITY in wanted)


COMMANDS = (
    Command(
        "help", "[command]", (COMMAND,), N_("commands, keys"), N_("Show the commands, or one."),
        _help, elsewhere=("commands", "h", "man", "?"),
    ),
    Command(
        "nick", "NAME", (NICK,), N_("new nickname"), N_("Change your nickname."),
        lambda call: call.user.rename(call.arguments[0]),
    ),
    Command(
        "room", "NAME [secret]", (ROOM, SECRET), N_("show or go"),
        N_("Show a room. If it is not open, go there: from the room that you were in without "
           "naming it, else beside the others, as with /join."),
        lambda call: call.user.go(call.arguments[0], call.argument(1)),
        elsewhere=("channel", "switch", "topic"),
    ),
    Command(
        "join", "NAME [secret]", (ROOM, SECRET), N_("open a room"),
        N_("Open a room beside the others; it stays until you /leave it."),
        lambda call: call.user.join(call.arguments[0], call.argument(1)), elsewhere=("j",),
    ),
    Command(
        "leave", "[ROOM]", (OPEN,), N_("close a room"),
        N_("Close a room, or the view of one person; the last one leaves the chat."),
        _leave, aliases=("part",), elsewhere=("close", "wc"),
    ),
    Command(
        "rooms", "", (), N_("list of rooms"), N_("List the rooms and how many are in each."),
        lambda call: call.user.rooms(), aliases=("list",),
    ),
    Command(
        "who", "", (), N_("who is here"), N_("List who is in this room."),
        lambda call: call.user.who(), aliases=("names",), elsewhere=("members", "users", "people"),
    ),
    Command(
        "me", "ACTION", (TEXT,), N_("what you do"), N_("Say what you are doing."),
        lambda call: call.user.say(call.arguments[0], kind="action"),
        elsewhere=("action",), may_be_guessed=False,
    ),
    Command(
        "msg", "NICK TEXT", (NICK, TEXT), N_("to one alone"), N_("Write to one member alone."),
        lambda call: call.user.private(call.arguments[0], call.arguments[1]),
        elsewhere=("dm", "pm", "w", "whisper", "tell"),
    ),
    Command(
        "query", "[NICK]", (NICK,), N_("view of one"),
        N_("Show what is between you and one member alone; without NICK, the room again."),
        lambda call: call.user.query(call.argument(0)),
    ),
    Command(
        "reply", "TEXT", (TEXT,), N_("answer alone"),
        N_("Answer whoever wrote to you alone last."),
        lambda call: call.user.reply(call.arguments[0]), aliases=("r",), may_be_guessed=False,
    ),
    Command(
        "verify", "[NICK [ok]]", (NICK, OK), N_("compare digits"),
        N_("Show the digits to compare, so that nobody can be in between; ok: they were equal."),
        _verify, elsewhere=("keys", "fingerprint", "trust"),
    ),
    Command(
        "copy", "[N]", (PLACE,), N_("copy a message"),
        N_("Put the last message on the clipboard, or the Nth from the end."),
        _copy, where=("rich",),
    ),
    Command(
        "invite", "[--token]", (TOKEN,), N_("make a link"),
        N_("Make a link that lets others into this room; --token: one person, without the "
           "password of the server."),
        _invite,
    ),
    Command(
        "resend", "[all]", (ALL,), N_("send it again"),
        N_("Send the oldest line again that was not sent; all: all of them."),
        _resend, where=PEOPLE,
    ),
    Command(
        "notify", "[MODE]", (WHEN,), N_("when it rings"),
        N_("Choose what rings while you look elsewhere: all, mention or off."),
        _notify, where=("rich",),
    ),
    Command(
        "ignore", "[NICK]", (NICK,), N_("hide somebody"), N_("Hide somebody's messages."),
        lambda call: call.user.ignore(call.argument(0)),
        elsewhere=("block", "kick", "ban", "mute"),
    ),
    Command(
        "unignore", "NICK", (NICK,), N_("show again"), N_("Show somebody's messages again."),
        lambda call: call.user.unignore(call.arguments[0]),
        elsewhere=("unblock", "unban", "unmute"),
    ),
    Command(
        "language", "CODE", (LANGUAGE,), N_("your language"), N_("Change the language."),
        _language, elsewhere=("lang", "locale"),
    ),
    Command(
        "find", "[TEXT]", (TEXT,), N_("find a message"),
        N_("Find TEXT in what is shown of this room; alone: the same again, or mentions of you."),
        lambda call: call.context.find(call.argument(0)), where=PEOPLE,
        elsewhere=("search", "lastlog", "grep"),
    ),
    Command(
        "history", "[N] [TEXT]", (TEXT,), N_("what was said"),
        N_("Show what was recorded of this room, and private messages: the last 20, or N, that "
           "contain TEXT."),
        _history, elsewhere=("log",),
    ),
    Command(
        "time", "", (), N_("time and zone"),
        N_("Show the time and your time zone, to you alone."),
        _time, elsewhere=("date", "timezone", "clock"),
    ),
    Command(
        "clear", "", (), N_("clear the view"), N_("Clear what is on the screen."),
        _clear, where=PEOPLE, may_be_guessed=False,
    ),
    Command(
        "reconnect", "", (), N_("connect again"),
        N_("Try a new connection now, even if the present one seems well."), _reconnect,
    ),
    Command(
        "panic", "[delete [identity]]", (DELETE, IDENTITY), N_("forget, leave"),
        N_("Forget everything, clear the screen and what has scrolled away, and leave at once; "
           "delete: remove the history too; delete identity: and the identity's file."),
        _panic, may_be_guessed=False,
    ),
    Command(
        "quit", "", (), N_("leave"), N_("Leave the chat."), lambda call: call.context.quit(),
        aliases=("exit",), elsewhere=("bye", "disconnect"),
    ),
)  # fmt: skip

_BY_WORD = {word: row for row in COMMANDS for word in (row.name, *row.aliases)}
_ELSEWHERE = {word: row for row in COMMANDS for word in row.elsewhere}


def find(word: str) -> Command | None:
    """The row of a command or alias, without its ``/``; None if there is no such command."""
    return _BY_WORD.get(word.casefold())


def nearest(word: str) -> Command | None:
    """The command that was probably meant; never one that cannot be undone, or that everybody
    would read."""
    if row := _ELSEWHERE.get(word.casefold()):
        return row
    from difflib import get_close_matches  # as elsewhere: only for what nobody knows

    close = get_close_matches(word.casefold(), _BY_WORD, n=1, cutoff=0.5)
    row = _BY_WORD[close[0]] if close else None
    # Nor is another one offered in the place of one of these: in a hurry that helps nobody.
    return row if row is not None and row.may_be_guessed else None


def run_line(line: str, context: CommandContext) -> None:
    """Do what a line says: a command where it starts with ``/``, else a message to the room.

    Never raises for anything that can be typed. Refusals are ``Error`` events with the codes
    ``unknown_command``, ``almost_command``, ``usage`` and ``not_here``, and ``not_text`` through
    ``refuse``.
    """
    if not line.strip():
        return
    context.user.begin()
    if _LONE_SURROGATE.search(line):  # bytes of a pipe that are not UTF-8
        context.user.refuse(line, "not_text")
    elif line.startswith("//"):
        context.user.say(line[1:])
    elif line.startswith("/"):
        _run_command(line, context)
    elif line.strip() == "q" and context.renderer in PEOPLE:
        context.quit()
    elif command := _almost_command(line):
        context.emit(_not_sent(_first_word(command)[0]))
    else:
        context.user.say(line)


def _run_command(line: str, context: CommandContext) -> None:
    word, rest = _first_word(line[1:])
    row = find(word)
    if row is None:
        context.emit(_unknown(word))
    elif context.renderer not in row.where:
        text = _("/{command} is not available with this renderer.").format(command=row.name)
        context.emit(events.Error("not_here", text))
    else:
        try:
            row.run(Call(context, _arguments(row, rest)))
        except _Misused:
            text = _("Usage: {usage}. {help}")
            context.emit(events.Error("usage", text.format(usage=row.written(), help=_(row.help))))


def _almost_command(line: str) -> str:
    """What a line is without that which stands before its command; "" if it has none."""
    found = _ALMOST_COMMAND.match(line)
    if found is None:
        return ""
    word = found[1].casefold()
    return line[found.start(1) :] if word in _BY_WORD or word in _ELSEWHERE else ""


def _not_sent(word: str) -> events.Error:
    """The answer to a command with something before it: it may be for one person alone."""
    text = _(
        "Not sent: a command begins with / at the very beginning of the line; write /{word} there, "
        "or // to send it as a message."
    )
    return events.Error("almost_command", text.format(word=word))


def _first_word(text: str) -> tuple[str, str]:
    """The first word, and what comes after the one space that ends it."""
    found = re.match(r"(\S*)\s?", text)
    assert found is not None  # noqa: S101  # the pattern matches anything
    return found[1], text[found.end():]


def _arguments(row: Command, rest: str) -> tuple[str, ...]:
    """Cut what follows the command into its arguments; raises ``_Misused``."""
    found: list[str] = []
    for kind in row.kinds:
        if kind in REST:
            argument, rest = (rest.rstrip() if kind == SECRET else rest.strip()), ""
        else:
            argument, rest = _first_word(rest.lstrip())
        if kind == NICK and len(argument) > 1:
            argument = argument.removeprefix("@")  # as mentions and the names of views have it
        if not argument:
            break
        found.append(argument)
    if rest.strip() or len(found) < row.required:
        raise _Misused
    return tuple(found)


def _unknown(word: str) -> events.Error:
    """The answer to an unknown command. Only its first word is repeated: the rest may be a
    secret, or a message for one person."""
    meant = nearest(word)
    if meant is None:
        text = _("There is no command /{word}. /help lists them; //{word} sends it as a message.")
        return events.Error("unknown_command", text.format(word=word))
    text = _(
        "There is no command /{word}. Did you mean /{meant}? //{word} sends it as a message."
    )
    return events.Error("unknown_command", text.format(word=word, meant=meant.name))


def usage(line: str) -> str:
    """How the command that is being typed is written, while its arguments are still to come."""
    if not line.startswith("/") or line.startswith("//"):
        return ""
    word, rest = _first_word(line[1:])
    row = find(word)
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
