"""A server under the test's control, and real clients joined to it without a network between.

``Den`` is a room whose server is honest until a test makes it lie: it hands each client's session
the frames that the test wants, encoded and decoded as on the wire.  What the client shows are its
events, what it sends are its frames.  ``Impostor`` speaks the link as well, over
real sockets, for what happens before and around a session.
"""

from __future__ import annotations

import contextlib
import functools
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import NamedTuple, TypeVar, cast

from client import events
from client.connection.connection import ClientConnection
from client.local_user import LocalUser
from client.session import ClientSession
from protocol import codec, frames
from protocol.frames import CLIENT_FRAMES, SERVER_FRAMES, Box, MemberLine, Wrap
from protocol.invite import InviteLink
from protocol.keys import Bundle, Identity, Recipient, RecipientKeys
from protocol.link import Credentials, ServerLink
from transport import Closed
from transport.client_websocket import connect
from transport.server_websocket import accept
from transport.stream import Stream
from transport.websocket import WebSocket

ROOM = "den"
AT = 1  # its number
LOG = b"log id, 16 bytes"
OTHER_LOG = b"another log id 1"
DEADLINE = 20.0  # seconds; only against hanging
PRS = bytes(range(32))

Event = TypeVar("Event", bound=events.Event)
Warned = list[tuple[str, "str | None"]]


_connection_keys = functools.cache(RecipientKeys)


@functools.cache
def identity(name: str) -> Identity:
    """One identity for each name and run: making RSA keys is what takes time here."""
    return Identity()


def bundle(name: str) -> Bundle:
    """The public keys that go with ``identity(name)``."""
    return identity(name).bundle


def signed_by(who: Identity, recipient: Recipient, run: int = 0, since: int = 0) -> Bundle:
    """A bundle of these keys that ``who`` has signed, whether they are any good or not."""
    keys = cast(RecipientKeys, SimpleNamespace(public=recipient))
    return Identity(who._sign, run, since, keys).bundle


def welcome(nick: str, resumed: bool = False) -> frames.Welcome:
    """What an honest server welcomes with."""
    return frames.Welcome(nick, resumed, 30.0, 60.0, 10 * 1024, 1024 * 1024, 1000, 60.0)


def as_received(frame: frames.Frame) -> frames.Frame:
    """``frame`` after its way over the wire."""
    return frames.from_object(codec.parse(frame.encode()), SERVER_FRAMES)


def recorder(
    found: list[events.Event], take: Callable[[events.Event], None] | None = None
) -> Callable[[events.Event], None]:
    """Puts events into ``found``, but for those of which only a screen makes something."""

    def emit(event: events.Event) -> None:
        if not isinstance(event, events.SCREEN_ONLY):
            (take or found.append)(event)

    return emit


class Person:
    """A real client's session and who types, without its connection."""

    def __init__(self, name: str, secret: str | None = None, room: str = ROOM) -> None:
        self.name = name
        self.id = 0
        self.number = 0  # of the last frame for it alone
        self.events: list[events.Event] = []
        self.now = 0.0  # the client's clock
        self.session = ClientSession(
            identity(name),
            InviteLink("chat.example"),
            name,
            room,
            recorder(self.events),
            lambda: None,
            clock=lambda: self.now,
        )
        self.user = LocalUser(self.session)
        if secret is not None:
            self.session.secrets.give(room, secret)

    def waits(self, seconds: float) -> None:
        """So long; what the client has put off until then it does."""
        self.now += seconds
        self.session.go_on()

    def hears(self, *said: frames.Frame) -> None:
        """Frames of the server's.  Raises whatever the session raises."""
        for frame in said:
            self.session.receive(as_received(frame))
            found = self.session.outlook()  # which looks less closely where all is quiet
            assert found == (self.session.awaited(), self.session.paused_until() or math.inf)

    def sent(self) -> list[frames.Frame]:
        """The frames that it has put out since the last time."""
        raw = list(self.session.outgoing)
        self.session.outgoing.clear()
        return [frames.from_object(codec.parse(each), CLIENT_FRAMES) for each in raw]

    def all(self, kind: type[Event]) -> list[Event]:
        """Its events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def warned(self) -> Warned:
        """Code and nickname of each warning, each with a text for people."""
        assert all(event.text for event in self.all(events.Warning))
        return [(event.code, event.nick) for event in self.all(events.Warning)]

    def unreadable(self) -> list[tuple[str, str]]:
        """Sender and reason of each message that stayed shut."""
        return [(event.sender, event.reason) for event in self.all(events.Unreadable)]

    def heard(self) -> list[tuple[str, str]]:
        """Sender and text of each message of somebody else's."""
        found = [event for event in self.all(events.Message) if not event.mine]
        return [(event.sender, event.text) for event in found]

    def own(self) -> list[str]:
        """The texts of its own messages that it shows as sent."""
        return [event.text for event in self.all(events.Message) if event.mine]

    def handed_back(self) -> list[tuple[str, str]]:
        """Text and reason of each line that was not sent."""
        return [(event.text, event.reason) for event in self.all(events.NotSent)]

    def members(self) -> list[str]:
        """Who is here, by what `/who` answers."""
        self.user.who()
        return [view.nick for view in self.all(events.MemberList)[-1].members]

    def code(self) -> str:
        """The room code, by what `/verify` answers."""
        return self._verification(None).room_code

    def code_with(self, nick: str) -> str:
        """The code with one member, by what `/verify NICK` answers."""
        return self._verification(nick).members[0].code

    def verifies(self, *nicks: str) -> None:
        """Compare codes with each of them, and say that they were equal."""
        for nick in nicks:
            self.code_with(nick)
            self.user.verify(nick, confirm=True)
        assert [event.nick for event in self.all(events.NickVerified)][-len(nicks) :] == [*nicks]

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.events.clear()

    def _verification(self, nick: str | None) -> events.Verification:
        self.user.verify(nick, confirm=False)
        assert self.session.wait_answered(DEADLINE)
        return self.all(events.Verification)[-1]


class Said(NamedTuple):
    """A line as its sender gave it to the server."""

    sender: Person
    text: str
    ref: int
    change: int
    wraps: tuple[Wrap, ...]
    box: Box

    def posted(self, seq: int, sender: int | None = None, box: Box | None = None) -> frames.Posted:
        """The log's entry; by default, the one that an honest server makes."""
        return frames.Posted(seq, sender or self.sender.id, self.change, box or self.box)

    def wrap_for(self, person: Person) -> Wrap:
        """The key that goes to ``person``."""
        return next(wrap for wrap in self.wraps if wrap.to == person.id)


class Private(NamedTuple):
    """A private line as its sender gave it to the server."""

    sender: Person
    frame: frames.Private

    def frame_for(self, number: int, sender: int | None = None) -> frames.PrivateFor:
        """What its reader gets; by default, what an honest server makes of it."""
        sent = self.frame
        who = sender or self.sender.id
        return frames.PrivateFor(sent.at, number, who, sent.change, sent.wrap, sent.box)


class Den:
    """One room of people, and its server.  ``names`` have come in, one after the other.

    ``lines`` is the true roster.  Wherever ``to`` is taken it says who gets something, by name;
    by default everybody whom it concerns.
    """

    def __init__(self, *names: str, secrets: dict[str, str] | None = None) -> None:
        self.seq = 0
        self.people: dict[str, Person] = {}
        self.lines: dict[str, MemberLine] = {}
        self._last_id = 0
        for name in names:
            self.people[name] = Person(name, (secrets or {}).get(name))
            self.join(name)

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def forget(self) -> None:
        """Nobody's events up to now are looked at any more."""
        for person in self.people.values():
            person.forget()

    # Membership

    def new_id(self) -> int:
        """A member id that was never given."""
        self._last_id += 1
        return self._last_id

    def next(self) -> int:
        """The next number of the log."""
        self.seq += 1
        return self.seq

    def join(
        self,
        name: str,
        roster: Sequence[MemberLine] | None = None,
        to: Iterable[str] | None = None,
    ) -> Person:
        """``name`` comes in, and is shown ``roster``; ``to`` hear of it."""
        person = self.people.setdefault(name, Person(name))
        person.id = self.new_id()
        line = MemberLine(person.id, name, self.next(), bundle(name))
        for other in self._named(to, but=name):
            if other.name in self.lines:
                self.log(other, frames.Joined(self.seq, line))
        self.lines[name] = line
        self.enter(person, roster)
        return person

    def enter(
        self,
        person: Person,
        roster: Sequence[MemberLine] | None = None,
        *,
        log: bytes = LOG,
        seq: int | None = None,
    ) -> None:
        """A new stay on a new connection: the handshake's end, `entered` and the roster."""
        self.let_in(person)
        person.number = 0
        person.hears(*self.entering(person, roster, log=log, seq=seq))

    def entering(
        self,
        person: Person,
        roster: Sequence[MemberLine] | None = None,
        *,
        log: bytes = LOG,
        seq: int | None = None,
        ref: int | None = None,
        room: str = ROOM,
        at: int = AT,
    ) -> list[frames.Frame]:
        """The frames of a new stay."""
        lines = tuple(self.lines.values() if roster is None else roster)
        number = self.seq if seq is None else seq
        entered = frames.Entered(at, room, log, person.id, number, len(lines), False, 0, ref)
        return [entered, frames.Roster(lines)]

    def let_in(self, person: Person, resumed: bool = False) -> None:
        """A new connection, on which the same session goes on, or another one."""
        person.session.lose()
        person.session.stays_to_join()
        person.session.welcome(welcome(person.session.nick, resumed))

    def resumed(self, person: Person, log: bytes = LOG, member: int | None = None) -> None:
        """The same stay on a new connection."""
        self.let_in(person, resumed=True)
        person.hears(frames.Entered(AT, ROOM, log, member or person.id, self.seq, 0, True, 0))

    def leave(self, name: str) -> Person:
        """``name`` goes."""
        person = self.people.pop(name)
        del self.lines[name]
        self.tell_all(frames.Left(self.next(), person.id))
        return person

    def tell_all(self, *entries: frames.Frame) -> None:
        """Log entries for everybody alike."""
        for person in self.people.values():
            self.log(person, *entries)

    def log(self, person: Person, *entries: frames.Frame) -> None:
        """Log entries for one person."""
        person.hears(frames.Log(AT, self.seq, entries))

    # Lines

    def say(self, name: str, text: str) -> Said:
        """``name`` types a line; the server has it, and nobody else."""
        person = self.people[name]
        person.user.say(text)
        return self.taken(person, text)

    def taken(self, person: Person, text: str) -> Said:
        """The one line that ``person`` has sent."""
        *keys, post = person.sent()
        wraps = [wrap for each in keys if isinstance(each, frames.Keys) for wrap in each.wraps]
        assert isinstance(post, frames.Post), post
        return Said(person, text, post.ref, post.change, tuple(wraps), post.box)

    def say_private(self, name: str, to: str, text: str) -> Private:
        """``name`` types a private line; the server has it, and nobody else."""
        person = self.people[name]
        person.user.private(to, text)
        (private,) = person.sent()
        assert isinstance(private, frames.Private)
        return Private(person, private)

    def wraps(self, said: Said, to: Iterable[str] | None = None) -> None:
        """The keys that go with a line, for those whom they were made for."""
        for person in self._named(to, but=said.sender.name):
            for wrap in said.wraps:
                if wrap.to == person.id:
                    self.key(person, said.sender.id, wrap)

    def key(self, person: Person, sender: int, wrap: Wrap) -> None:
        """One key for one person."""
        person.number += 1
        person.hears(frames.KeyFor(AT, person.number, sender, wrap))

    def private(self, person: Person, private: Private, sender: int | None = None) -> None:
        """A private line for one person."""
        person.number += 1
        person.hears(private.frame_for(person.number, sender))

    def accept(self, said: Said, seq: int) -> None:
        """Tell the sender that its line has that number, and show it there."""
        said.sender.hears(frames.Accepted(said.ref, seq))
        self.log(said.sender, frames.OwnPosted(seq, said.ref))

    def post(self, said: Said, to: Iterable[str] | None = None) -> int:
        """Put a line into the log for ``to``, and its keys before it for all; its number."""
        self.wraps(said)
        seq = self.next()
        self.accept(said, seq)
        for person in self._named(to, but=said.sender.name):
            self.log(person, said.posted(seq))
        return seq

    def talk(self, *names: str) -> None:
        """Each of ``names`` says something, and all others of them read it."""
        for name in names:
            said = self.say(name, f"{name} talks on")
            self.post(said, names)
            for other in names:
                if other != name:
                    assert self[other].heard()[-1:] == [(said.sender.session.nick, said.text)]

    def _named(self, names: Iterable[str] | None, but: str) -> list[Person]:
        wanted = self.people if names is None else names
        return [self.people[name] for name in wanted if name != but]


# With sockets


class Impostor:
    """A server on a free port that has ``script`` deal with each connection, one by one.

    It ends with its ``with`` block; what a script raises fails the test there.
    """

    def __init__(self, script: Callable[[WebSocket, ServerLink], None]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", int(self._listener.getsockname()[1]))
        self._thread = threading.Thread(target=self._run, name="impostor")
        self._failure: BaseException | None = None

    def __enter__(self) -> Impostor:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            try:
                self._serve(Stream(sock, bound=1 << 20, interruptible=True))
            except Closed:
                pass  # the client has gone: often what the test wants
            except BaseException as error:  # handed to the test's own thread
                self._failure = error
                return

    def _serve(self, stream: Stream) -> None:
        stream.set_deadline(time.monotonic() + DEADLINE)
        request = b""
        while b"\r\n\r\n" not in request:
            data = stream.recv(1)  # not a byte of what comes after the request
            if not data:
                raise Closed
            request += data
        lines = request.decode().split("\r\n")[1:]
        headers = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines if line]
        peer = accept(stream, headers, max_message_size=1 << 20)
        try:
            self._script(peer, ServerLink())
        finally:
            peer.finish(time.monotonic() + 1.0)
            stream.close()


def received(peer: WebSocket) -> str | bytes:
    """The next message; raises Closed at the end."""
    deadline = time.monotonic() + DEADLINE
    message = None
    while message is None:  # called back, to look at what waits to be sent
        assert time.monotonic() < deadline, "nothing came"
        message = peer.receive(DEADLINE)
        if message is None:
            peer.flush(deadline)
    return message


def prove(peer: WebSocket, link: ServerLink, prs: bytes) -> frames.Confirm:
    """The server's side of the handshake up to `confirm`.  Raises AuthFailed as it does."""
    peer.send(link.greeting())
    link.receive_hello(received(peer))
    peer.send(link.key(prs))
    return link.receive_confirm(received(peer))


def connected(
    script: Callable[[WebSocket, ServerLink], None],
    prs: bytes = PRS,
    at: Callable[[ClientSession, str], None] = lambda _session, _news: None,
    until: Callable[[list[events.Event]], bool] = lambda _shown: False,
    reconnect: bool = False,
    may_ask: bool = False,
) -> tuple[ClientConnection, list[events.Event]]:
    """A client that was connected to a server that does ``script``, and has ended.

    ``at`` is called with its session at each of its news, by its reader thread.  It leaves as soon
    as what it has shown is what it was wanted ``until``.
    """
    shown: list[events.Event] = []
    enough = threading.Event()

    def emit(event: events.Event) -> None:
        shown.append(event)
        if until(shown):
            enough.set()

    with Impostor(script) as impostor:
        host, port = impostor.address
        session = ClientSession(
            identity("alice"), InviteLink(host, port), "alice", ROOM, recorder(shown, emit),
            lambda: connection.send(),
        )  # fmt: skip

        def dial(opened: Callable[[Stream], None]) -> WebSocket:
            return connect(host, port, max_message_size=1 << 20, opened=opened)

        def tell(news: str) -> None:
            at(session, news)
            if news == "ended":
                enough.set()

        connection = ClientConnection(
            dial, identity("alice"), lambda: Credentials(prs), session, emit, tell, reconnect,
            make_keys=_connection_keys, may_ask=may_ask,
        )  # fmt: skip
        connection.start()
        assert enough.wait(DEADLINE), "the client hangs"
        connection.leave()
    return connection, shown


def stay() -> list[bytes]:
    """An honest welcome into an empty room."""
    line = MemberLine(1, "alice", 1, bundle("alice"))
    said = [
        welcome("alice"),
        frames.Entered(AT, ROOM, LOG, 1, 1, 1, False, 0),
        frames.Roster((line,)),
    ]
    return [frame.encode() for frame in said]
