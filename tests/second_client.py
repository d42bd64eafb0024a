"""Another client, written from docs/PROTOCOL.md alone.

It imports nothing of the program (``tests/test_second_client.py`` reads its imports), so that
whatever one of the two changes without the other, and without the document, is found: it talks to
the real server and with real clients in every feature.  It is also what attacks are made with
(``tests/attacks``), since nothing keeps it from saying what an honest client never would.

``second_socket`` has the WebSocket, ``second_crypto`` the primitives, ``second_link`` the handshake
and records, ``second_rooms`` which rooms it is in, ``second_room`` what members of one say to each
other.  One thread: whoever asks for something reads until it is there.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests import second_crypto as crypto
from tests.second_crypto import name_key
from tests.second_link import Broken, Link, Refusal, compact, parse, raise_refused
from tests.second_room import Post, Room, Unreadable
from tests.second_rooms import Rooms
from tests.second_schema import ENTRIES, SERVER, Malformed, read
from tests.second_socket import Ended, WebSocket

SEEN_BYTES = 524_288
ANSWER_SECONDS = 75.0  # for each of `key` and the first record
STALE_TRIES = 7

Frame = dict[str, Any]


class Event(NamedTuple):
    """What happened: ``post`` (of anybody), ``joined``, ``warning``, …, about what, and where."""

    kind: str
    what: Any
    room: str


class Client:
    """One member, in one room or more: ``room`` is the one that is talked to unless another is
    named.  ``identity`` and ``keys``: made already (keys are for one connection only)."""

    def __init__(
        self,
        port: int,
        nick: str,
        *,
        host: str = "127.0.0.1",
        password: str | None = None,
        prs: bytes | None = None,
        token: str | None = None,
        room: str = "default",
        rooms: Sequence[str] = (),
        secret: str | None = None,
        identity: crypto.Identity | None = None,
        keys: crypto.Keys | None = None,
        **network: Any,
    ) -> None:
        """``rooms``: more of them; ``secret``: of ``room``."""
        self._where, self._network, self._keys = (host, port), network, keys
        if prs is None:
            prs = crypto.token_prs(token) if token else crypto.password_prs(password or "")
        self._prs, self._token = prs, token
        self.nick = nick
        self._nicks: dict[int, str] = {}  # that were asked for, and not refused; key: ref
        self.identity = identity or crypto.Identity()
        self.rooms = Rooms(self.identity, [room, *rooms], self._warn)
        self._shown = name_key(room)
        self.events: list[Event] = []
        self.answers: dict[int, Frame] = {}
        self.unknown: set[str] = set()  # keys and types that the document does not have
        self.goodbye: str | None = None
        self.ticket: bytes | None = None
        self.last_ref = 0
        self._open: dict[int, list[bytes]] = {}  # requests without an answer, as they were sealed
        self._sealed_in: dict[int, Room] = {}  # those of them that are posts
        self._secrets: dict[bytes, bytes] = {}
        if secret is not None:
            self.know_secret(room, secret)

    @property
    def room(self) -> Room:
        """The one that is talked to: shown last, or any where that one is gone."""
        return self.rooms.open.get(self._shown) or next(iter(self.rooms.open.values()))

    def show(self, name: str) -> Room:
        """Talk to this room from now on."""
        self._shown = name_key(name)
        return self.rooms.open[self._shown]

    # Coming in

    def join(self, resume: bool = False) -> Client:
        """Connect and come in.  Raises Refusal, Broken, Ended, OSError."""
        try:
            self.prove(resume)
            frames = self.link.open(self._first_record())
            if frames and self._is_wait(frames[0]):
                frames = self.link.open(self._first_record())
            self._enter_live(frames)
            self.read(lambda: self.rooms.arrived, "the rosters", 30.0)
        except (Refusal, Broken, Ended):
            self.socket.cut()
            raise
        return self

    def greet(self) -> str:
        """Connect and say `hello`; gives what it was."""
        self.socket = WebSocket(*self._where, **self._network)
        self.link = Link(self._prs, self._keys)
        hello = self.link.hello(self._clear(10.0), self._token, self.ticket)
        self.socket.send(hello)
        return hello

    def prove(self, resume: bool = False) -> None:
        """``greet``, take `key`, say `confirm`."""
        self.greet()
        self.link.agree(self._clear(ANSWER_SECONDS))
        signature = self.identity.sign(self.link.to_sign(self.identity.fingerprint))
        confirm: Frame = {
            "type": "confirm",
            "nick": self.nick,
            "stays": self.rooms.stays(resume),
            "bundle": self.identity.bundle,
            "sig": crypto.to_text(signature),
        }
        self.socket.send(self.link.seal(confirm))

    def resume(self) -> Client:
        """Come back after the connection was lost, and say again what was not answered."""
        self.join(resume=True)
        if self.resumed:
            for _, frames in sorted(self._open.items()):
                self.send(*frames)
        else:
            for ref in list(self._open):
                self._note("handed back", ref)
            self._open.clear()
            self._sealed_in.clear()
            self._nicks.clear()
        return self

    def _clear(self, seconds: float) -> str:
        message = self.socket.receive(time.monotonic() + seconds)
        if message is None:
            raise Broken("silence")
        if not isinstance(message, str):
            raise Broken("a record before its time")
        raise_refused(parse(message.encode()), clear=True)
        return message

    def _first_record(self) -> bytes:
        message = self.socket.receive(time.monotonic() + ANSWER_SECONDS)
        if message is None:
            raise Broken("silence")
        if isinstance(message, str):
            raise_refused(parse(message.encode()), clear=True)
            raise Broken("a text")
        return message

    def _is_wait(self, value: Any) -> bool:
        """Whether the room changes too often just now: then the next record is the first one."""
        frame = self._checked(value, SERVER)
        if frame is None or frame["type"] != "wait":
            return False
        self._on_wait(frame)
        return True

    def _enter_live(self, frames: list[Any]) -> None:
        if not frames:
            raise Broken("an empty first record")
        raise_refused(frames[0], clear=False)
        welcome = self._checked(frames[0], SERVER)
        if welcome is None or welcome["type"] != "welcome":
            raise Broken("no welcome")
        self.nick = welcome["nick"]
        self.welcome, self.resumed = welcome, welcome["resumed"]
        self.rooms.welcomed(self.resumed, welcome["max_message_size"])
        if welcome.get("ticket") is not None:
            self.ticket = crypto.from_text(welcome["ticket"], 16)
        self._beat_at = time.monotonic() + welcome["heartbeat_interval"]
        self._since_beat = self.socket.received
        for value in frames[1:]:
            self._take(value)

    # Saying

    def send(self, *frames: Frame | bytes) -> None:
        """One record.  Raises Ended."""
        self.socket.send(self.link.seal(*frames))

    def request(self, kind: str, **fields: Any) -> int:
        """Send a frame with a new `ref`, which is given back."""
        return self._request([], kind, fields)

    def _request(self, before: list[Frame], kind: str, fields: Frame) -> int:
        self.last_ref += 1
        frame = {"type": kind, "ref": self.last_ref, **fields}
        encoded = [compact(each).encode() for each in (*before, frame)]
        self._open[self.last_ref] = encoded
        self.rooms.asked(self.last_ref, kind, fields)
        self.send(*encoded)
        return self.last_ref

    def answer(self, ref: int) -> Frame:
        """The answer to a request, once it is there."""
        self.read(lambda: ref in self.answers, f"an answer to {ref}")
        return self.answers[ref]

    def post(self, text: str, kind: str = "text", room: Room | None = None) -> int:
        """Say something to a room, without waiting; for what was said before somebody came or
        went there, since the lines keep their order."""
        room = room or self.room
        self.read(lambda: room.sealed_for == room.change or not room.posts, "answers")
        room.sealed_for = room.change
        return self.post_box(*room.seal(text, kind, self.welcome["max_message_size"]), room)

    def post_box(self, wraps: list[Frame], box: Frame, room: Room | None = None) -> int:
        """Send a box that was made last, and the keys that it needs."""
        room = room or self.room
        keys: list[Frame] = [{"type": "keys", "at": room.at, "wraps": wraps}] if wraps else []
        fields = {"at": room.at, "change": room.change, "box": box}
        room.sealed(self.last_ref + 1)
        room.posts.add(self.last_ref + 1)
        self._sealed_in[self.last_ref + 1] = room
        return self._request(keys, "post", fields)

    def say(self, text: str, kind: str = "text", room: Room | None = None) -> Frame:
        """``post``, sealed anew some times while it is `stale`; the last answer."""
        room = room or self.room
        for attempt in range(STALE_TRIES):
            answer = self.answer(self.post(text, kind, room))
            if answer.get("code") != "stale":
                break
            pause = time.monotonic() + 0.1 * 2**attempt
            while time.monotonic() < pause:
                self.hear(pause)
            self.read(lambda: room.change > room.sealed_for, "changes")
        return answer

    def tell(self, nick: str, text: str, room: Room | None = None) -> Frame:
        """Say something to one member alone, through a room that both are in."""
        key = name_key(nick)
        shared = [x for x in self.rooms.whole if key in {name_key(each) for each in x.nicks}]
        room = room or (self.room if self.room in shared else shared[0])
        wrap, box = room.seal_for(nick, text)
        fields = {"at": room.at, "change": room.change, "wrap": wrap, "box": box}
        return self.answer(self.request("private", **fields))

    def enter(self, room: str, secret: str | None = None, leave: Room | None = None) -> Frame:
        """Be in another room as well, or in the place of ``leave``; it is shown then."""
        if secret is not None:
            self.know_secret(room, secret)
        left = {} if leave is None else {"leave": leave.at}
        answer = self.answer(self.request("enter", room=room, **left))
        if answer["type"] == "accepted":
            self.show(room)
        return answer

    def move(self, room: str, secret: str | None = None) -> Frame:
        """Go to another room."""
        return self.enter(room, secret, self.room)

    def leave_room(self, room: Room | None = None) -> Frame:
        """Be no more in one room, but in others."""
        return self.answer(self.request("leave", at=(room or self.room).at))

    def rename(self, nick: str) -> Frame:
        """Have another nickname in all rooms."""
        self._nicks[self.last_ref + 1] = nick
        return self.answer(self.request("nick", at=self.room.at, nick=nick))

    def list_rooms(self) -> dict[str, int]:
        answer = self.answer(self.request("list_rooms"))
        return {line["room"]: line["count"] for line in answer["rooms"]}

    def mint(self) -> Frame:
        """A token for somebody else, or the refusal."""
        return self.answer(self.request("mint"))

    def beat(self, answer: bool = False) -> None:
        """A heartbeat; the server's own comes at once if it is asked for."""
        beat: Frame = {"type": "seen", "positions": self.rooms.positions()}
        self.send({**beat, "answer": True} if answer else beat)
        self._since_beat = self.socket.received

    def leave(self) -> None:
        """Say goodbye; nothing happens if it is over already."""
        try:
            if self.link.agreed:
                self.send({"type": "bye", "reason": "left"})
        except Ended:
            pass
        self.socket.close()

    def know_secret(self, room: str, secret: str) -> None:
        """What ``room`` is sealed with from the next time that it is entered."""
        key = name_key(room)
        salt = crypto.labelled("cmdchat room secret 1", key)
        self._secrets[key] = crypto.scrypt(crypto.nfc(secret), salt, 17)

    # Hearing

    def read(self, done: Callable[[], bool], what: str = "it", seconds: float = 20.0) -> None:
        """Take what comes until ``done``.  Raises Broken if that takes too long, Ended."""
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                raise Broken(f"waited for {what}, and had {self.events[-10:]}")
            self.hear(min(deadline, time.monotonic() + 0.2))

    def hear(self, deadline: float) -> bool:
        """Take one record, if one comes by then."""
        record = self.socket.receive(deadline)
        if time.monotonic() > self._beat_at:
            self._beat_at += self.welcome["heartbeat_interval"]
            self.beat()
        if record is None:
            return False
        for value in self.link.open(record):
            self._take(value)
        if self.socket.received - self._since_beat >= SEEN_BYTES:
            self.beat()
        return True

    def next(
        self, kind: str, found: Callable[[Any], bool] = lambda what: True, room: Room | None = None
    ) -> Any:
        """What the first event of this kind was about, once it is there; it is forgotten.

        ``room``: only there.
        """
        at: list[int] = []

        def fits(event: Event) -> bool:
            there = room is None or event.room == room.name
            return event.kind == kind and there and found(event.what)

        def is_there() -> bool:
            at[:] = [i for i, each in enumerate(self.events) if fits(each)][:1]
            return bool(at)

        self.read(is_there, f"{kind} (of {self.nick})")
        return self.events.pop(at[0]).what

    def hears(
        self, nick: str, text: str, kind: str = "text", private: bool = False,
        room: Room | None = None,
    ) -> Post:  # fmt: skip
        """Wait for a post, which has to be the next of all, or of that room."""
        post = self.next("post", room=room)
        assert (post.nick, post.text, post.kind, post.private) == (nick, text, kind, private)
        found: Post = post
        return found

    def of(self, kind: str) -> list[Any]:
        """What all events of a kind were about."""
        return [event.what for event in self.events if event.kind == kind]

    def _note(self, kind: str, what: Any, room: str = "") -> None:
        self.events.append(Event(kind, what, room))

    def _warn(self, text: str) -> None:
        self._note("warning", text)

    def _checked(self, value: Any, table: dict[str, dict[str, str]]) -> Frame | None:
        """A frame or entry of ``table``, None if its type is unknown.  Raises Broken."""
        try:
            frame, unknown = read(value, table)
        except Malformed as error:
            raise Broken(str(error)) from None
        self.unknown |= unknown
        return frame

    def _take(self, value: Any) -> None:
        frame = self._checked(value, SERVER)
        if frame is not None:
            if self.rooms.coming is not None and frame["type"] not in ("roster", "entered"):
                raise Broken("something between `entered` and its roster")
            getattr(self, "_on_" + frame["type"])(frame)

    def _on_welcome(self, frame: Frame) -> None:
        raise Broken("a second welcome")

    def _on_entered(self, frame: Frame) -> None:
        salt = self._secrets.get(name_key(frame["room"]), b"")
        self.rooms.entered(frame, [self.nick, *self._nicks.values()], salt)
        self._note("resumed" if frame["resumed"] else "entered", frame, frame["room"])

    def _on_roster(self, frame: Frame) -> None:
        self.rooms.roster(frame["members"])

    def _on_accepted(self, frame: Frame) -> None:
        if frame["ref"] in self._open:
            self.rooms.accepted(frame["ref"])
            self.nick = self._nicks.get(frame["ref"], self.nick)
        self._answered(frame)

    def _on_rooms(self, frame: Frame) -> None:
        self._answered(frame)

    def _on_minted(self, frame: Frame) -> None:
        self._answered(frame)

    def _on_refused(self, frame: Frame) -> None:
        ref = frame.get("ref")
        if frame.get("room") is not None:
            self.rooms.stay_refused(frame["room"])
        if ref is not None:
            self.rooms.refused(ref)
            self._nicks.pop(ref, None)
            if ref in self._sealed_in:
                self._sealed_in[ref].refused(ref)
        self._note("refused", frame)
        self._answered(frame)

    def _answered(self, frame: Frame) -> None:
        ref = frame.get("ref")
        if ref in self._open:
            del self._open[ref]
            room = self._sealed_in.pop(ref, None)
            if room is not None:
                room.posts.discard(ref)
            self.answers[ref] = frame

    def _on_key_for(self, frame: Frame) -> None:
        self.rooms.at(frame["at"]).take_key(frame)

    def _on_private_for(self, frame: Frame) -> None:
        room = self.rooms.at(frame["at"])
        self._show(room.take_private(frame), room)

    def _on_log(self, frame: Frame) -> None:
        room = self.rooms.at(frame["at"])
        entries = [self._checked(value, ENTRIES) for value in frame["entries"]]
        if None in entries:  # it may be a change: nothing of the frame is taken
            self.send({"type": "bye", "reason": "bad_version"})
            raise Broken("a log entry of unknown type")
        for entry in filter(None, entries):
            if entry["type"] == "own_posted":
                self._require_own(entry["ref"], room)
            if entry["type"] in ("posted", "own_posted"):
                self._show(room.take_post(entry), room)
                continue
            told = room.take_change(entry)
            if told is not None:
                self._note(entry["type"], told, room.name)
            asked = {name_key(nick) for nick in (self.nick, *self._nicks.values())}
            if entry["type"] == "renamed" and entry["id"] == room.id:  # by each room
                if name_key(room.own_nick) not in asked:
                    self._warn("a nickname that was not asked for")
        room.reached(frame["to"])

    def _require_own(self, ref: int, room: Room) -> None:
        """Raises Broken for a post that was sealed for another room."""
        if any(each.has_sealed(ref) for each in self.rooms.whole if each is not room):
            raise Broken("a post of one's own in another room")

    def _show(self, taken: Post | Unreadable | None, room: Room) -> None:
        if taken is not None:
            self._note("post" if isinstance(taken, Post) else "unreadable", taken, room.name)

    def _on_taken(self, frame: Frame) -> None:
        self._note("taken", frame["ref"])

    def _on_wait(self, frame: Frame) -> None:
        self._note("wait", frame["seconds"])

    def _on_announcement(self, frame: Frame) -> None:
        self._note("announcement", frame["text"])

    def _on_bye(self, frame: Frame) -> None:
        self.goodbye = frame["reason"]
        self._note("bye", frame["reason"])

    def ended(self, seconds: float = 20.0) -> str | None:
        """Read to the end of the connection; the reason of the server's `bye`, if there was one."""
        try:
            self.read(lambda: False, "the end", seconds)
        except Ended:
            return self.goodbye
        raise AssertionError("unreachable")


# Invite links and forms


class Invite(NamedTuple):
    host: str
    port: int
    room: str
    secret: str | None
    fingerprint: str | None
    path: str
    token: str | None
    others: tuple[tuple[str, int], ...] = ()


def read_address(text: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or 1000


def read_invite(link: str) -> Invite:
    begin = re.match(r"cmdchats?://([^/?#]*)", link)
    if begin is None:
        raise ValueError("no invite link")
    parts = urllib.parse.urlsplit(link[begin.end() :])
    query = urllib.parse.parse_qs(parts.query)
    fingerprint, path = query.get("fp", [None])[0], query.get("path", [""])[0]
    hidden, mark, token = parts.fragment.partition("/token=")
    if mark and not re.fullmatch(r"[\w-]{16}\.[\w-]{43}", token, re.ASCII):
        raise ValueError("no invite link")
    room, secret = urllib.parse.unquote(parts.path[1:]), urllib.parse.unquote(hidden) or None
    first, *others = (read_address(text) for text in begin[1].split(","))
    return Invite(*first, room, secret, fingerprint, path, token or None, tuple(others))


def form(port: int, path: str, **fields: Any) -> tuple[int, Any]:
    """Status and answer of a form, or of a page if there are no fields."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        if fields:
            head = {"Content-Type": "application/json"}
            connection.request("POST", path, compact(fields), head)
        else:
            connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, json.loads(body) if is_json else body.decode()
    finally:
        connection.close()
