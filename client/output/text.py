"""Events in words: what a person reads of each, as rows of styled spans.

Pure: an ``EventText`` remembers only which views there are, and which nickname is shown. Text from
elsewhere passes ``visible`` here, on the one way by which it can reach a terminal. The line breaks
of a message become rows of their own that begin under its text, so that no message can look like a
line of somebody else's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from string import Formatter

from client import events, messages
from client.output.shown_views import ShownViews
from client.output.widths import pad, width
from client.output.wrapping import INDENT, Row, Span
from client.views import room_target
from i18n import _, plural
from protocol.names import nick_key
from protocol.safe_text import visible

TAB_COLUMNS = 4
_NAMED = 12  # members that are named on joining
_NAMES = ("nick", "nicks", "old", "room", "server")  # fields of sentences that name somebody
_PUNCTUATION = "@.,:;!?()[]{}<>\"'`*_~-…。、，：；！？「」«»"

# What stands before an event where a message has its nickname.
INFO, CAME, WENT, DID, ALARM = "·", "→", "←", "*", "!"

_MARKS: dict[type[events.Event], str] = {
    events.MemberJoined: CAME,
    events.MemberLeft: WENT,
    events.Unreadable: ALARM,
    events.Error: ALARM,
    events.Warning: ALARM,
    events.Missed: ALARM,
    events.NoAnswer: ALARM,
    events.Reconnecting: ALARM,
    events.Disconnected: ALARM,
    events.Paused: ALARM,
}


class EventText:
    """Turns one client's events into rows; ``aligned``: the help's in columns."""

    def __init__(self, aligned: bool = True) -> None:
        self._aligned = aligned
        self.views = ShownViews()
        self.nick = ""
        self.proxy = ""
        self._greeted = False
        self._entered: set[str] = set()  # keys of rooms
        self._shapes: dict[type[events.Event], Callable[..., list[Row]]] = {
            events.Connected: self._connected,
            events.Message: self._message,
            events.Unreadable: self._unreadable,
            events.MemberJoined: self._joined,
            events.MemberLeft: self._left,
            events.Crowd: self._crowd,
            events.MemberRenamed: self._renamed,
            events.RoomEntered: self._room_entered,
            events.RoomLeft: self._room_left,
            events.RoomList: self._room_list,
            events.MemberList: self._member_list,
            events.Verification: self._verification,
            events.NickVerified: self._nick_verified,
            events.Invite: self._invite,
            events.Help: self._help,
            events.KeyHelp: self._key_help,
            events.HistoryList: self._history,
            events.Found: self._found,
            events.Notice: self._notice,
            events.NotSent: self._not_sent,
            events.Error: self._error,
            events.Warning: self._warning,
            events.Missed: self._missed,
            events.NickAwaited: self._waiting,
            events.LinesWaiting: self._lines_waiting,
            events.NoAnswer: self._no_answer,
            events.Answered: self._answered,
            events.Reconnecting: self._reconnecting,
            events.Reconnected: self._reconnected,
            events.Disconnected: self._disconnected,
            events.Paused: self._paused,
            events.Cleared: self._cleared,
        }

    def rows(self, event: events.Event, when: datetime) -> list[Row]:
        """The rows of an event that happened at ``when`` (local time); none if it has no place."""
        rows = self.bare_rows(event)
        if not rows:
            return []
        first, indent = rows[0], Span(" " * INDENT)
        clock = Span(f"{when:%H:%M} ", "time")
        return [
            first._replace(spans=(clock, *first.spans)),
            *(row._replace(spans=(indent, *row.spans)) for row in rows[1:]),
        ]

    def bare_rows(self, event: events.Event) -> list[Row]:
        """The same without the time; what goes on does so under the first word."""
        self.views.take(event)
        shape = self._shapes.get(type(event))
        return [] if shape is None else shape(event)

    def mentions(self, event: events.Event) -> bool:
        """Whether an event calls this client's person: a private message, or the nickname."""
        if not isinstance(event, events.Message) or event.mine:
            return False
        return event.private or is_mentioned(self.nick, event.text)

    def prompt(self) -> str:
        """What stands before the line being typed."""
        return f"{one_line(self.views.name)}> "

    # How each event reads. Every method returns at least one row.

    def _connected(self, event: events.Connected) -> list[Row]:
        self.nick, self.proxy = event.nick, event.proxy or ""
        self._entered.add(room_target(event.room).key)
        rows = [
            _row(
                _("Connected to {server} as {nick}. You are in room {room}: {members}."),
                server=event.server, nick=event.nick, room=event.room,
                members=messages.members(len(event.members)),
            ),
            self._company(event.members),
        ]  # fmt: skip
        if event.proxy:
            rows.insert(1, _row(_("It goes through the proxy {proxy}."), proxy=event.proxy))
        if not self._greeted:
            self._greeted = True
            rows += [
                _row(_("To send a message, type it and press Enter.")),
                _row(_("For the commands, type /help; for the keys, /help keys.")),
                _row(_("To leave, type q or /quit.")),
            ]
        return rows

    def _message(self, event: events.Message) -> list[Row]:
        nick = Span(one_line(event.sender), f"nick:{nick_key(event.sender)}")
        style = "mention" if self.mentions(event) and not event.private else ""
        lines = text_lines(event.text)
        begin = self._message_begin(event, nick)
        first = Row((*begin, Span(lines[0], style)))
        return [first, *(Row((Span(line, style),), begins=False) for line in lines[1:])]

    def _message_begin(
        self, event: events.Message | events.HistoryView, nick: Span
    ) -> tuple[Span, ...]:
        to = one_line(event.to or "")
        if event.private and event.mine:
            who = Span(to, f"nick:{nick_key(event.to or '')}")
            return _around(_("you, to {nick} alone:"), who)
        if event.private:
            return _around(_("{nick}, to you alone:"), nick)
        if event.kind == "action":
            return (Span("* "), nick, Span(" "))
        return (nick, Span(": "))

    def _unreadable(self, event: events.Unreadable) -> list[Row]:
        text = _("A message from {nick} cannot be read: {reason}.")
        reason = messages.unreadable(event.reason, event.room)
        return [_row(text, "quiet", nick=event.sender, reason=reason)]

    def _joined(self, event: events.MemberJoined) -> list[Row]:
        return [_row(_("{nick} has joined."), "quiet", nick=event.nick)]

    def _left(self, event: events.MemberLeft) -> list[Row]:
        return [_row(_("{nick} has left."), "quiet", nick=event.nick)]

    def _crowd(self, event: events.Crowd) -> list[Row]:
        return [_row("{text}", "quiet", text=messages.crowd(event.joined, event.left))]

    def _renamed(self, event: events.MemberRenamed) -> list[Row]:
        if nick_key(self.nick) in (nick_key(event.old), nick_key(event.nick)):
            # One's own, told once in each room.
            self.nick = event.nick
            return [_row(_("You are now known as {nick}."), "quiet", nick=event.nick)]
        text = _("{old} is now known as {nick}.")
        return [_row(text, "quiet", old=event.old, nick=event.nick)]

    def _room_entered(self, event: events.RoomEntered) -> list[Row]:
        self._entered.add(room_target(event.room).key)
        count = messages.members(len(event.members))
        text = _("You are now in room {room}: {members}.")
        return [_row(text, room=event.room, members=count), self._company(event.members)]

    def _room_left(self, event: events.RoomLeft) -> list[Row]:
        if room_target(event.room).key not in self._entered:
            return []  # it was asked for, and refused: that has been said
        return [_row(_("You have left room {room}."), "quiet", room=event.room)]

    def _company(self, members: Sequence[events.MemberView]) -> Row:
        """Who is in the room besides oneself: the first ones by name."""
        others = [view.nick for view in members if nick_key(view.nick) != nick_key(self.nick)]
        if not others:
            return _row(_("Nobody else is here yet."), "quiet")
        nicks, more = ", ".join(others[:_NAMED]), len(others) - _NAMED
        if more <= 0:
            return _row(_("Here with you: {nicks}."), nicks=nicks)
        text = plural(
            "Here with you: {nicks} and {count} more (/who).",
            "Here with you: {nicks} and {count} more (/who).",
            more,
        )
        return _row(text, nicks=nicks, count=str(more))

    def _room_list(self, event: events.RoomList) -> list[Row]:
        title = plural("{count} room:", "{count} rooms:", len(event.rooms))
        cells = [(view.room, messages.members(view.count)) for view in event.rooms]
        return [_title(title.format(count=len(event.rooms))), *table(cells)]

    def _member_list(self, event: events.MemberList) -> list[Row]:
        members = messages.members(len(event.members))
        title = _row(_("Room {room}, {members}:"), "title", room=event.room, members=members)
        cells = [(view.nick, self._member_standing(view)) for view in event.members]
        return [title, *table(cells)]

    def _member_standing(self, view: events.MemberView) -> str:
        if nick_key(view.nick) == nick_key(self.nick):
            return _("you")
        if view.verified and view.compared_as is not None:
            return _("verified as {nick}").format(nick=view.compared_as)
        if view.verified:
            return _("verified")
        known = view.standing == "known"
        return _("known: the same keys as before") if known else _("new, not verified")

    def _standing(self, nick: str, verified: bool) -> str:
        if nick_key(nick) == nick_key(self.nick):
            return _("you")
        return _("verified") if verified else _("not verified")

    def _verification(self, event: events.Verification) -> list[Row]:
        cells = [
            (view.nick, view.code, self._standing(view.nick, view.verified))
            for view in event.members
        ]
        return [
            _row(_("Code of room {room}:"), "title", room=event.room),
            _row("{code}", code=event.room_code),
            *table(cells),
            _row(
                _(
                    "Compare the digits by telephone or face to face. If they are equal on both "
                    "sides, nobody is in between: /verify NICK ok."
                )
            ),
        ]

    def _nick_verified(self, event: events.NickVerified) -> list[Row]:
        return [_row(_("{nick} is now verified."), nick=event.nick)]

    def _invite(self, event: events.Invite) -> list[Row]:
        text = _("This link lets others in. Whoever has it can read this room:")
        if event.seconds is not None:
            text = _("This link lets one person in. Whoever has it can read this room:")
        return [_row(text), _row("{link}", link=event.link)]

    def _help(self, event: events.Help) -> list[Row]:
        cells = [(view.command, view.help) for view in event.commands]
        if len(cells) == 1:
            return [_title(_("Commands:")), *table(cells, names=False)]
        title = _title(_("/help COMMAND tells more; /help keys names the keys."))
        return [title, *(row._replace(beside=True) for row in self._pairs(cells, 1))]

    def _key_help(self, event: events.KeyHelp) -> list[Row]:
        return self._pairs([(view.command, view.help) for view in event.keys], 2)

    def _pairs(self, cells: Sequence[tuple[str, str]], gap: int) -> list[Row]:
        """A table, or lines without the blanks that a screen reader would have to pass over."""
        if self._aligned:
            return table(cells, gap, names=False)
        shown = [(one_line(name), one_line(words)) for name, words in cells]
        return [Row((Span(f"{name}: {words}"),), INDENT + gap) for name, words in shown]

    def _history(self, event: events.HistoryList) -> list[Row]:
        count = len(event.messages)
        if not count:
            return [_row(_("There is nothing like that in the history."))]
        title = plural("{count} message recorded:", "{count} messages recorded:", count)
        rows = [_title(title.format(count=count))]
        for view in event.messages:
            rows += self.recorded(view)
        return rows

    def _found(self, event: events.Found) -> list[Row]:
        shown = len(event.messages)
        if not shown:
            return [_row(_("There is nothing like that in what was shown."))]
        title = plural("{count} message found:", "{count} messages found:", event.count)
        if shown < event.count:
            title = _("{count} messages found, the last {shown}:")
        rows = [_title(title.format(count=f"{event.count:,}", shown=shown))]
        for view in event.messages:
            rows += self.recorded(view)
        return rows

    def recorded(self, view: events.HistoryView) -> list[Row]:
        """A message of the history, with the day and time of this machine's clock."""
        clock = f"{view.time.astimezone():%Y-%m-%d %H:%M}  "
        nick = Span(one_line(view.sender), f"nick:{nick_key(view.sender)}")
        begin = self._message_begin(view, nick)
        indent = INDENT + len(clock)
        first, *more = text_lines(view.text)
        rows = [Row((Span(clock, "time"), *begin, Span(first)), indent)]
        margin = Span(" " * len(clock))
        return rows + [Row((margin, Span(line)), indent, begins=False) for line in more]

    def _notice(self, event: events.Notice) -> list[Row]:
        return _texts(event.text, names=True)

    def _not_sent(self, event: events.NotSent) -> list[Row]:
        reason = messages.not_sent(event.reason)
        rows = [_row(_("Not sent: {reason}. Your text was:"), "alarm", reason=reason)]
        return rows + [row._replace(begins=False) for row in _texts(event.text)]

    def _error(self, event: events.Error) -> list[Row]:
        return _texts(_("Error: {text}").format(text=event.text), "alarm", names=True)

    def _warning(self, event: events.Warning) -> list[Row]:
        if event.is_quiet:
            return _texts(event.text, "quiet", names=True)
        return _texts(_("Warning: {text}").format(text=event.text), "alarm", names=True)

    def _missed(self, event: events.Missed) -> list[Row]:
        if event.count is None:
            text = _("You may have missed what was said in {room} while you were away.")
            return [_row(text, "quiet", room=event.room)]
        text = plural(
            "You have missed {count} message in {room}.",
            "You have missed {count} messages in {room}.",
            event.count,
        )
        return [_row(text, "quiet", count=str(event.count), room=event.room)]

    def _waiting(self, event: events.NickAwaited) -> list[Row]:
        text = _("Whoever has the nickname {nick} has lost the connection: waiting {wait} for it.")
        return [_row(text, "quiet", nick=event.nick, wait=messages.seconds(event.delay))]

    def _lines_waiting(self, event: events.LinesWaiting) -> list[Row]:
        return [_row("{text}.", "quiet", text=messages.lines_waiting(event.lines, event.seconds))]

    def _no_answer(self, event: events.NoAnswer) -> list[Row]:
        text = _("No answer for {wait}; another connection is tried if none comes.")
        return [_row(text, "alarm", wait=messages.seconds(event.seconds))]

    def _answered(self, _event: events.Answered) -> list[Row]:
        return [_row(_("The server answers again."))]

    def _reconnecting(self, event: events.Reconnecting) -> list[Row]:
        text = _("The connection is lost. Attempt {attempt} begins in {wait}.")
        wait = messages.seconds(event.delay)
        return [_row(text, "alarm", attempt=str(event.attempt), wait=wait)]

    def _reconnected(self, event: events.Reconnected) -> list[Row]:
        if event.resumed:
            return [_row(_("The connection is back; nothing was lost."))]
        if self.views.rooms > 1:
            return [_row(_("The connection is back; you have rejoined your rooms."))]
        return [_row(_("The connection is back; you have rejoined the room."))]

    def _disconnected(self, event: events.Disconnected) -> list[Row]:
        return [_row("{text}", "alarm", text=messages.disconnected(event.reason))]

    def _paused(self, event: events.Paused) -> list[Row]:
        return [_row(messages.paused(event.reason), "alarm")]

    def _cleared(self, _event: events.Cleared) -> list[Row]:
        # Shown only where the output is one that cannot be cleared.
        return [_row(_("What was written here cannot be cleared."), "quiet")]


def mark_of(event: events.Event) -> str:
    """What stands before an event of the program's own where a message has its nickname; none
    of it can be one."""
    if isinstance(event, events.Warning) and event.is_quiet:
        return INFO
    return _MARKS.get(type(event), INFO)


def one_line(text: str) -> str:
    """A text from elsewhere made safe for a terminal, on one line."""
    return visible(text).replace("\n", "␊")


def text_lines(text: str) -> list[str]:
    """The lines of a message, each made safe for a terminal, with blanks for tabs; never empty."""
    return visible(text.expandtabs(TAB_COLUMNS)).split("\n")


def is_mentioned(nick: str, text: str) -> bool:
    """Whether a nickname stands in a text as a word, or after an ``@``."""
    key = nick_key(nick)
    if not key:
        return False
    folded = unicodedata.normalize("NFKC", text).casefold()
    return f"@{key}" in folded or any(
        key in (word, word.strip(_PUNCTUATION)) for word in folded.split()
    )


def table(cells: Sequence[Sequence[str]], gap: int = 2, names: bool = True) -> list[Row]:
    """Rows whose columns stand under each other, ``gap`` blanks apart; the last column folds
    under itself. ``names``: people or rooms stand in the first one."""
    shown = [[one_line(cell) for cell in row] for row in cells]
    if not shown:
        return []
    columns = [max(map(width, column)) for column in zip(*shown, strict=True)]
    indent = INDENT + sum(columns[:-1]) + gap * (len(columns) - 1)
    blanks = " " * gap
    return [
        Row((Span(first, names=names), Span(f"{blanks}{blanks.join(more)}".rstrip())), indent)
        for first, *more in (list(map(pad, row, columns)) for row in shown)
    ]


def _row(sentence: str, style: str = "", **values: str) -> Row:
    spans: list[Span] = []
    for text, name, _spec, _conversion in Formatter().parse(sentence):
        pieces = [Span(text, style)]
        if name is not None:
            pieces.append(Span(one_line(values[name]), style, names=name in _NAMES))
        for piece in pieces:
            if spans and spans[-1].names == piece.names:
                piece = piece._replace(text=spans.pop().text + piece.text)
            spans.append(piece)
    return Row(tuple(spans))


def _title(text: str) -> Row:
    return Row((Span(text, "title"),))


def _texts(text: str, style: str = "", names: bool = False) -> list[Row]:
    first, *more = text_lines(text)
    rows = [Row((Span(first, style, names=names),))]
    return rows + [Row((Span(line, style, names=names),), begins=False) for line in more]


def _around(sentence: str, nick: Span) -> tuple[Span, ...]:
    """A translated sentence with the nickname in its own style, and a space behind it."""
    before, _mark, after = sentence.partition("{nick}")
    return (Span(before), nick, Span(after + " "))
