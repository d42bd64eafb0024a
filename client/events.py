"""What the client tells its renderer: one frozen dataclass for each event.

The names and keys are a contract with programs that read ``--renderer json``; the table in
``docs/USING.md`` is compared with this file by a test.  ``time`` is added by the renderer.

An event with a ``room`` belongs to that room's view, whichever is shown; a private one to the view
whose key is its ``view``; all others to the view that is shown when they come.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from client.json_object import JsonObject
from client.views import View
from protocol.dataclass import dataclass, field

# Of the contract: another one if a key goes away, changes, or means something else.
VERSION = 1

# What a program calls a line or command of its own, told with what becomes of it.
Tag = str | int | float | None

class Event(JsonObject):
    """Base of all events; ``name`` is the JSON ``event``."""

    name: ClassVar[str]


@dataclass(frozen=True)
class MemberView(JsonObject):
    """One line of a member list; ``standing`` is ``verified``, ``known`` (the nickname had the same
    keys before) or ``new``; ``compared_as`` the nickname under which a verified member was
    compared, if that is another one."""

    _optional = ("compared_as",)
    nick: str
    verified: bool
    standing: str = "new"
    compared_as: str | None = None


@dataclass(frozen=True)
class RoomView(JsonObject):
    """One line of the room list; ``count`` is the number of members."""

    room: str
    count: int


@dataclass(frozen=True)
class CodeView(JsonObject):
    """One line of ``/verify``: ``code`` is the digits to compare with that member."""

    nick: str
    code: str
    verified: bool


@dataclass(frozen=True)
class CommandView(JsonObject):
    """One line of ``/help``: how the command is written, and what it does."""

    command: str
    help: str


@dataclass(frozen=True)
class HistoryView(JsonObject):
    """One message of ``/history``; ``time`` is when this client showed it: aware, in UTC."""

    time: datetime
    room: str
    sender: str
    to: str | None
    text: str
    kind: str
    private: bool
    mine: bool


@dataclass(frozen=True)
class Connected(Event):
    """The first room is entered; the others that were asked for follow, each as ``RoomEntered``."""

    name = "connected"
    server: str
    nick: str
    room: str
    members: tuple[MemberView, ...]
    proxy: str | None = None  # the host of the proxy that it goes through
    version: int = VERSION


@dataclass(frozen=True)
class Message(Event):
    """``mine``: one's own, once the server has taken it.  ``seq`` is None for private ones, whose
    ``room`` is the one that they came through, and ``view`` the key of the person's view.
    ``bot``: a program answers, and says so; ``keys``: the sender's fingerprint, of others."""

    name = "message"
    _optional = ("to", "id")
    _hidden = ("view", "keys")
    room: str
    sender: str
    text: str
    seq: int | None
    mine: bool
    private: bool
    verified: bool
    kind: str
    to: str | None = None  # of private ones
    id: Tag = None  # of one's own
    bot: bool = False
    view: str | None = None
    keys: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Unreadable(Event):
    """``reason``: name, no_key, secret, replay, damaged, bounds.  ``seq`` is None for private
    ones, which may be anybody's, and belong to the room that they came through."""

    name = "unreadable"
    room: str
    sender: str
    seq: int | None
    reason: str


@dataclass(frozen=True)
class MemberJoined(Event):
    name = "joined"
    room: str
    nick: str


@dataclass(frozen=True)
class MemberLeft(Event):
    name = "left"
    room: str
    nick: str


@dataclass(frozen=True)
class Crowd(Event):
    """So many came and so many went that they are not told one by one: since the last event."""

    name = "crowd"
    room: str
    joined: int
    left: int


@dataclass(frozen=True)
class MemberRenamed(Event):
    """``own``: it is oneself, which each room tells of, one after the other."""

    name = "renamed"
    _hidden = ("own",)
    room: str
    old: str
    nick: str
    own: bool = False


@dataclass(frozen=True)
class RoomEntered(Event):
    """In a room: one more, or one's own room anew (after it was lost, or had fallen behind).

    It is not shown by that: see ``Shown``."""

    name = "room"
    room: str
    members: tuple[MemberView, ...]


@dataclass(frozen=True)
class RoomLeft(Event):
    """A room is closed: it was left, for another one or alone, or the server does not lead there,
    which an ``Error`` with this room says before."""

    name = "room_left"
    room: str


@dataclass(frozen=True)
class Shown(Event):
    """Another view is shown: the room ``room``, or the person ``to``; the other one is None.

    At first that is the room of ``Connected``, without a word.  ``view`` is its key."""

    name = "shown"
    _hidden = ("view",)
    room: str | None
    to: str | None
    view: str = ""


@dataclass(frozen=True)
class RoomList(Event):
    name = "rooms"
    rooms: tuple[RoomView, ...]


@dataclass(frozen=True)
class MemberList(Event):
    name = "members"
    room: str
    members: tuple[MemberView, ...]


@dataclass(frozen=True)
class Verification(Event):
    name = "verify"
    room: str
    room_code: str
    members: tuple[CodeView, ...]


@dataclass(frozen=True)
class NickVerified(Event):
    name = "nick_verified"
    nick: str
    room: str


@dataclass(frozen=True)
class Invite(Event):
    name = "invite"
    _optional = ("seconds",)
    link: str
    room: str
    seconds: float | None = None  # that the token in it lives, if it has one


@dataclass(frozen=True)
class Help(Event):
    name = "help"
    commands: tuple[CommandView, ...]


@dataclass(frozen=True)
class HistoryList(Event):
    """``/history``: what was recorded, the oldest first."""

    name = "history"
    messages: tuple[HistoryView, ...]


@dataclass(frozen=True)
class Notice(Event):
    """``room`` where it is about one."""

    name = "notice"
    _optional = ("room",)
    text: str
    room: str | None = None


@dataclass(frozen=True)
class NotSent(Event):
    """A line that was not taken, handed back; exactly one for each refused line.  ``to`` and
    ``view`` as ``Message`` has them."""

    name = "not_sent"
    _optional = ("id", "to")
    _hidden = ("view",)
    room: str
    text: str
    reason: str
    id: Tag = None
    to: str | None = None
    view: str | None = None


@dataclass(frozen=True)
class Error(Event):
    """A refusal without a line; ``room`` where it is about one."""

    name = "error"
    _optional = ("id", "room")
    code: str
    text: str
    id: Tag = None  # of the command
    room: str | None = None


@dataclass(frozen=True)
class Warning(Event):  # noqa: A001  # the contract's word
    """``verified``: it is about somebody who is, or was, verified.  ``room``: where it came up;
    None for what is about no room, such as the history."""

    name = "warning"
    _optional = ("room",)
    code: str
    nick: str | None
    text: str
    verified: bool = False
    room: str | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether it has to be said, and is for nobody who could do something about it."""
        return self.code == "other_keys" and not self.verified


@dataclass(frozen=True)
class Missed(Event):
    """``count`` of entries of the room's log; None where nobody can know it: of another log."""

    name = "missed"
    room: str
    count: int | None


@dataclass(frozen=True)
class NickAwaited(Event):
    """Not in yet: whoever has ``nick`` is away, and it is asked for again in ``delay`` seconds."""

    name = "nick_awaited"
    nick: str
    delay: float


@dataclass(frozen=True)
class LinesWaiting(Event):
    """So many lines wait because of the server's limit, the next one for ``seconds``; 0: none
    does any more."""

    name = "waiting"
    lines: int
    seconds: float


@dataclass(frozen=True)
class NoAnswer(Event):
    """Nothing has come for ``seconds``, though something waits for an answer."""

    name = "no_answer"
    seconds: int


@dataclass(frozen=True)
class Answered(Event):
    """The same connection answers again."""

    name = "answered"


@dataclass(frozen=True)
class Reconnecting(Event):
    """``delay`` is in seconds from now."""

    name = "reconnecting"
    attempt: int
    delay: float


@dataclass(frozen=True)
class Reconnected(Event):
    """Once for each return.  ``resumed``: the same session goes on, and with it the rooms that no
    ``RoomEntered`` follows for; it does for each room of a new one."""

    name = "reconnected"
    resumed: bool


@dataclass(frozen=True)
class Disconnected(Event):
    name = "disconnected"
    reason: str


# What only a person's screen shows; a program that reads JSON sees none of it.


@dataclass(frozen=True)
class Sending(Event):
    """A line of one's own waits or is on its way; ``ref`` is the line's for good, also when it
    is sent again.  ``view`` as ``Message`` has it."""

    name = "sending"
    ref: int
    room: str
    text: str
    kind: str
    to: str | None = None
    view: str | None = None


@dataclass(frozen=True)
class Settled(Event):
    """The next event, ``Message`` or ``NotSent``, is what became of the line ``ref``."""

    name = "settled"
    ref: int


@dataclass(frozen=True)
class TrustSummary(Event):
    """Who is in ``room`` besides oneself: how many, and how many of them are verified or known;
    before ``Connected`` and ``RoomEntered``, and whenever it may have changed."""

    name = "trust_summary"
    others: int
    verified: int
    known: int = 0
    room: str = ""


@dataclass(frozen=True)
class Views(Event):
    """All views, whenever one comes, goes or changes, or another one is ``shown``: for the first
    time before ``Connected``, always before ``Shown``, and before what belongs to a new one.

    Rooms as they were opened, be they entered or not, then people as they first came up."""

    name = "views"
    views: tuple[View, ...]
    shown: View


@dataclass(frozen=True)
class Paused(Event):
    """No further attempt before ``/reconnect``.  ``reason``: ``unproven``, what answers has not
    proven itself; ``rebuffed``, it lets in and hangs up, again and again."""

    name = "paused"
    reason: str = "unproven"


@dataclass(frozen=True)
class Notifying(Event):
    """``/notify``: when to ring: ``all``, ``mention``, ``off``; None asks how it is now."""

    name = "notifying"
    mode: str | None


@dataclass(frozen=True)
class KeyHelp(Event):
    """``/help keys``: what each key does, as ``Help`` tells it of the commands."""

    name = "key_help"
    keys: tuple[CommandView, ...]


@dataclass(frozen=True)
class Copying(Event):
    """``/copy``: put a message on the clipboard, the last one (1) or one before it."""

    name = "copying"
    place: int


@dataclass(frozen=True)
class Finding(Event):
    """``/find``: look for ``text`` in what was shown; None: for the same again, or mentions."""

    name = "finding"
    text: str | None


@dataclass(frozen=True)
class Found(Event):
    """What came of it where it is listed: so many messages, of which the last ones are here, the
    oldest first."""

    name = "found"
    count: int
    messages: tuple[HistoryView, ...]


@dataclass(frozen=True)
class Cleared(Event):
    """``/clear``: forget what was shown."""

    name = "cleared"


SCREEN_ONLY = (
    Sending, Settled, TrustSummary, Views, Paused, Notifying, KeyHelp, Copying, Finding, Found,
    Cleared,
)  # fmt: skip
