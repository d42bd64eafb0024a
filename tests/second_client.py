"""Another client, written from docs/PROTOCOL.md alone.

It imports nothing of the program (``tests/test_second_client.py`` reads its imports), so that
whatever one of the two changes without the other, and without the document, is found: it talks to
the real server and with real clients in every feature.  It is also what attacks are made with
(``tests/attacks``), since nothing keeps it from saying what an honest client never would.

``second_socket`` has the WebSocket, ``second_crypto`` the primitives, ``second_room`` what members
say to each other.  One thread: whoever asks for something reads until it is there.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken

from tests import second_crypto as crypto
from tests.second_room import Post, Room, Unreadable
from tests.second_schema import CLEAR, ENTRIES, SERVER, Malformed, read
from tests.second_socket import Ended, WebSocket

VERSION = 2
RECORD_PAD = 256
SEEN_BYTES = 524_288
ANSWER_SECONDS = 75.0  # for each of `key` and the first record
STALE_TRIES = 7

Frame = dict[str, Any]


class Refusal(Exception):
    """The server refused to let in; ``clear``: anybody in between may have said so."""

    def __init__(self, frame: Frame, clear: bool) -> None:
        super().__init__(frame["code"])
        self.code, self.frame, self.clear = frame["code"], frame, clear


class Broken(Exception):
    """The server did what it must not; the connection is over."""


class Event(NamedTuple):
    """What happened: ``post`` (of anybody), ``joined``, ``warning``, …, and about what."""

    kind: str
    what: Any


class Link:
    """The client's half of the handshake, and the records after it."""

    def __init__(self, prs: bytes, keys: crypto.Keys | None = None) -> None:
        self.keys = keys or crypto.Keys()
        self._prs = prs
        self._spoken: list[bytes] = []  # the frames in clear, as they were on the wire
        self.agreed = False

    def hello(self, greeting: str, token: str | None, ticket: bytes | None) -> str:
        """The answer to `greeting`.  Raises Broken."""
        frame = read_clear(greeting, "greeting")
        if frame["version"] != VERSION:
            raise Broken("another version")
        nonce = secrets.token_bytes(16)
        self.sid = crypto.from_text(frame["nonce"], 16) + nonce
        self.cpace = crypto.Cpace(self._prs, self.sid)
        hello: Frame = {
            "type": "hello",
            "version": VERSION,
            "nonce": crypto.to_text(nonce),
            "proof": "password" if token is None else "token",
            "rsa": crypto.to_text(self.keys.rsa),
            "kem": crypto.to_text(self.keys.kem),
            "share": crypto.to_text(self.cpace.share),
        }
        if token is not None:
            name = token.split(".")[0].encode("ascii")
            hello["token"] = crypto.to_text(crypto.digest("cmdchat token name 1", self.sid, name))
        if ticket is not None:
            name = crypto.digest("cmdchat ticket name 1", self.sid, ticket)
            hello["ticket"] = crypto.to_text(name)
        text = compact(hello)
        self._spoken = [greeting.encode(), text.encode()]
        return text

    def agree(self, key: str) -> None:
        """Take the server's `key`.  Raises Broken."""
        frame = read_clear(key, "key")
        wrapped = crypto.from_text(frame["wrapped"], 1392)
        info = crypto.labelled("cmdchat link key 1", hashlib.sha256(self._spoken[1]).digest())
        own = crypto.labelled("cmdchat link recipient 1", self.keys.rsa, self.keys.kem)
        try:
            k0 = self.keys.unwrap(wrapped, info)
            isk = self.cpace.as_initiator(crypto.from_text(frame["share"], 32), own, wrapped)
        except ValueError:
            raise Broken("key") from None
        self._spoken.append(key.encode())
        salt = crypto.digest("cmdchat transcript 1", *self._spoken)
        self._sending = crypto.hkdf(k0 + isk, salt, crypto.labelled("cmdchat link client 1"))
        self._receiving = crypto.hkdf(k0 + isk, salt, crypto.labelled("cmdchat link server 1"))
        self._sent = self._received = 0
        self.agreed = True

    def to_sign(self, fingerprint: bytes) -> bytes:
        return crypto.labelled("cmdchat confirm 1", *self._spoken, fingerprint)

    def seal(self, *frames: Frame | bytes) -> bytes:
        """A record; a frame that is bytes already goes into it as it is."""
        encoded = (x if isinstance(x, bytes) else compact(x).encode() for x in frames)
        plain = crypto.u64(self._sent) + b"[" + b",".join(encoded) + b"]"
        plain += b" " * (-len(plain) % RECORD_PAD)
        self._sent += 1
        return crypto.unpadded(crypto.seal(self._sending, plain))

    def open(self, record: str | bytes) -> list[Any]:
        """The frames in a record.  Raises Broken."""
        if isinstance(record, str):
            raise Broken("a text")
        try:
            plain = crypto.unseal(self._receiving, crypto.padded(record))
            values = parse(plain[8:])
        except (InvalidToken, ValueError):
            raise Broken("a record that does not open") from None
        if plain[:8] != crypto.u64(self._received) or len(plain) % RECORD_PAD:
            raise Broken("not the next record")
        self._received += 1
        if not isinstance(values, list) or len(values) > 1024:
            raise Broken("no list of frames")
        return values


class Client:
    """One member.  ``identity`` and ``keys``: made already (keys are for one connection only)."""

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
        secret: str | None = None,
        identity: crypto.Identity | None = None,
        keys: crypto.Keys | None = None,
        **network: Any,
    ) -> None:
        self._where, self._network, self._keys = (host, port), network, keys
        if prs is None:
            prs = crypto.token_prs(token) if token else crypto.password_prs(password or "")
        self._prs, self._token = prs, token
        self.nick, self._wanted, self._asked = nick, room, room
        self.identity = identity or crypto.Identity()
        self.room = Room(self.identity, self._warn)
        self.events: list[Event] = []
        self.answers: dict[int, Frame] = {}
        self.unknown: set[str] = set()  # keys and types that the document does not have
        self.goodbye: str | None = None
        self.ticket: bytes | None = None
        self.last_ref = 0
        self._open: dict[int, bytes] = {}  # requests without an answer, as they were sealed
        self._posts: set[int] = set()  # those of them that are posts, all sealed for one change
        self._sealed_for = 0
        self._secrets: dict[bytes, bytes] = {}
        if secret is not None:
            self.know_secret(room, secret)

    # Coming in

    def join(self, resume: bool = False) -> Client:
        """Connect and come in.  Raises Refusal, Broken, Ended, OSError."""
        try:
            self.prove(resume)
            frames = self.link.open(self._first_record())
            if frames and self._is_wait(frames[0]):
                frames = self.link.open(self._first_record())
            self._enter_live(frames)
            self.read(lambda: not self._arriving and self.room.ready, "the roster", 30.0)
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
            "room": self._wanted,
            "bundle": self.identity.bundle,
            "sig": crypto.to_text(signature),
        }
        if resume:
            place = {"seq": self.room.seq, "number": self.room.number}
            confirm.update(log=crypto.to_text(self.room.log_id), **place)
        self.socket.send(self.link.seal(confirm))

    def resume(self) -> Client:
        """Come back after the connection was lost, and say again what was not answered."""
        self.join(resume=True)
        if self.resumed:
            for _, frame in sorted(self._open.items()):
                self.send(frame)
        else:
            for ref in list(self._open):
                self._note("handed back", ref)
            self._open.clear()
            self._posts.clear()
        return self

    def _clear(self, seconds: float) -> str:
        message = self.socket.receive(time.monotonic() + seconds)
        if message is None:
            raise Broken("silence")
        if not isinstance(message, str):
            raise Broken("a record before its time")
        _raise_refused(parse(message.encode()), clear=True)
        return message

    def _first_record(self) -> bytes:
        message = self.socket.receive(time.monotonic() + ANSWER_SECONDS)
        if message is None:
            raise Broken("silence")
        if isinstance(message, str):
            _raise_refused(parse(message.encode()), clear=True)
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
        _raise_refused(frames[0], clear=False)
        welcome = self._checked(frames[0], SERVER)
        if welcome is None or welcome["type"] != "welcome":
            raise Broken("no welcome")
        self.nick = welcome["nick"]
        self.welcome = welcome
        self.room.most = welcome["max_message_size"]
        if welcome.get("ticket") is not None:
            self.ticket = crypto.from_text(welcome["ticket"], 16)
        self.resumed = False
        self._arriving = True
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
        encoded = compact({"type": kind, "ref": self.last_ref, **fields}).encode()
        self._open[self.last_ref] = encoded
        self.send(*before, encoded)
        return self.last_ref

    def answer(self, ref: int) -> Frame:
        """The answer to a request, once it is there."""
        self.read(lambda: ref in self.answers, f"an answer to {ref}")
        return self.answers[ref]

    def post(self, text: str, kind: str = "text") -> int:
        """Say something to the room, without waiting; for what was said before somebody came or
        went, since the lines keep their order."""
        self.read(lambda: self._sealed_for == self.room.change or not self._posts, "answers")
        self._sealed_for = self.room.change
        return self.post_box(*self.room.seal(text, kind, self.welcome["max_message_size"]))

    def post_box(self, wraps: list[Frame], box: Frame) -> int:
        """Send a box that was made last, and the keys that it needs."""
        keys: list[Frame] = [{"type": "keys", "wraps": wraps}] if wraps else []
        ref = self._request(keys, "post", {"change": self.room.change, "box": box})
        self.room.sealed(ref)
        self._posts.add(ref)
        return ref

    def say(self, text: str, kind: str = "text") -> Frame:
        """``post``, sealed anew some times while it is `stale`; the last answer."""
        for attempt in range(STALE_TRIES):
            answer = self.answer(self.post(text, kind))
            if answer.get("code") != "stale":
                break
            pause = time.monotonic() + 0.1 * 2**attempt
            while time.monotonic() < pause:
                self.hear(pause)
            self.read(lambda: self.room.change > self._sealed_for, "changes")
        return answer

    def tell(self, nick: str, text: str) -> Frame:
        """Say something to one member alone."""
        wrap, box = self.room.seal_for(nick, text)
        fields = {"change": self.room.change, "wrap": wrap, "box": box}
        return self.answer(self.request("private", **fields))

    def enter(self, room: str, secret: str | None = None) -> Frame:
        """Go to another room."""
        if secret is not None:
            self.know_secret(room, secret)
        self._asked = room
        ref = self.request("enter", room=room)
        return self.answer(ref)

    def rename(self, nick: str) -> Frame:
        return self.answer(self.request("nick", nick=nick))

    def rooms(self) -> dict[str, int]:
        answer = self.answer(self.request("list_rooms"))
        return {line["room"]: line["count"] for line in answer["rooms"]}

    def beat(self, answer: bool = False) -> None:
        """A heartbeat; the server's own comes at once if it is asked for."""
        beat: Frame = {"type": "seen", "seq": self.room.seq, "number": self.room.number}
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
        key = crypto.name_key(room)
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

    def next(self, kind: str, found: Callable[[Any], bool] = lambda what: True) -> Any:
        """What the first event of this kind was about, once it is there; it is forgotten."""
        at: list[int] = []

        def is_there() -> bool:
            at[:] = [i for i, each in enumerate(self.events) if each.kind == kind
                     and found(each.what)][:1]  # fmt: skip
            return bool(at)

        self.read(is_there, f"{kind} (of {self.nick})")
        return self.events.pop(at[0]).what

    def hears(self, nick: str, text: str, kind: str = "text", private: bool = False) -> Post:
        """Wait for a post, which has to be the next of all."""
        post = self.next("post")
        assert (post.nick, post.text, post.kind, post.private) == (nick, text, kind, private)
        found: Post = post
        return found

    def of(self, kind: str) -> list[Any]:
        """What all events of a kind were about."""
        return [event.what for event in self.events if event.kind == kind]

    def _note(self, kind: str, what: Any) -> None:
        self.events.append(Event(kind, what))

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
            getattr(self, "_on_" + frame["type"])(frame)

    def _on_welcome(self, frame: Frame) -> None:
        raise Broken("a second welcome")

    def _on_entered(self, frame: Frame) -> None:
        self.resumed = frame["resumed"]
        if frame["resumed"]:
            if not self._arriving or frame["members"]:
                raise Broken("resumed, and no place to resume")
            self._arriving = False
            self.room.resumed(frame)
            return
        expected = self._asked if frame.get("ref") is not None else self._wanted
        if crypto.name_key(frame["room"]) != crypto.name_key(expected):
            raise Broken("another room than the one that was asked for")
        if not 1 <= frame["members"] <= 256:
            raise Broken("no such number of members")
        again = not self._arriving and frame.get("ref") is None
        if again and not self.room.is_same(frame):
            raise Broken("led elsewhere")
        self._arriving, self._wanted = False, frame["room"]
        salt = self._secrets.get(crypto.name_key(frame["room"]), b"")
        self.room.enter(frame, self.nick, salt, again)
        self._note("entered", frame)

    def _on_roster(self, frame: Frame) -> None:
        self.room.roster(frame["members"])

    def _on_accepted(self, frame: Frame) -> None:
        self._answered(frame)

    def _on_rooms(self, frame: Frame) -> None:
        self._answered(frame)

    def _on_refused(self, frame: Frame) -> None:
        if frame.get("ref") is not None:
            self.room.refused(frame["ref"])
        self._note("refused", frame)
        self._answered(frame)

    def _answered(self, frame: Frame) -> None:
        if frame.get("ref") in self._open:
            del self._open[frame["ref"]]
            self._posts.discard(frame["ref"])
            self.answers[frame["ref"]] = frame

    def _on_key_for(self, frame: Frame) -> None:
        self.room.take_key(frame)

    def _on_private_for(self, frame: Frame) -> None:
        self._show(self.room.take_private(frame))

    def _on_log(self, frame: Frame) -> None:
        entries = [self._checked(value, ENTRIES) for value in frame["entries"]]
        if None in entries:  # it may be a change: nothing of the frame is taken
            self.send({"type": "bye", "reason": "bad_version"})
            raise Broken("a log entry of unknown type")
        for entry in filter(None, entries):
            if entry["type"] in ("posted", "own_posted"):
                self._show(self.room.take_post(entry))
                continue
            told = self.room.take_change(entry)
            if told is not None:
                self._note(entry["type"], told)
            self.nick = self.room.own_nick
        self.room.reached(frame["to"])

    def _show(self, taken: Post | Unreadable | None) -> None:
        if taken is not None:
            self._note("post" if isinstance(taken, Post) else "unreadable", taken)

    def _on_seen(self, frame: Frame) -> None:
        self._note("seen", frame["seq"])

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


# Texts


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse(raw: bytes) -> Any:
    """JSON as the document has it.  Raises ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> Frame:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key that comes twice")
        return found

    def refuse(name: str) -> Any:
        raise ValueError(name)

    return json.loads(raw.decode(), object_pairs_hook=unique, parse_constant=refuse)


def read_clear(text: str, kind: str) -> Frame:
    """The frame in clear that has to be ``kind``.  Raises Broken."""
    try:
        frame, _ = read(parse(text.encode()), CLEAR)
    except ValueError:
        raise Broken("no frame") from None
    if frame is None or frame["type"] != kind:
        raise Broken(f"no {kind}")
    return frame


def _raise_refused(value: Any, clear: bool) -> None:
    if isinstance(value, dict) and value.get("type") == "refused":
        raise Refusal(value, clear)


# Invite links and forms


class Invite(NamedTuple):
    host: str
    port: int
    room: str
    secret: str | None
    fingerprint: str | None
    path: str


def read_invite(link: str) -> Invite:
    parts = urllib.parse.urlsplit(link)
    if parts.scheme not in ("cmdchat", "cmdchats"):
        raise ValueError("no invite link")
    query = urllib.parse.parse_qs(parts.query)
    fingerprint, path = query.get("fp", [None])[0], query.get("path", [""])[0]
    room, secret = urllib.parse.unquote(parts.path[1:]), urllib.parse.unquote(parts.fragment)
    address = parts.hostname or "", parts.port or 1000
    return Invite(*address, room, secret or None, fingerprint, path)


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
