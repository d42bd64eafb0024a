"""What members of a room say to each other, by docs/PROTOCOL.md, "Room layer".

Part of ``tests/second_client.py``; nothing here is the program's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests import second_crypto as crypto
from tests.second_crypto import digest, from_text, labelled, to_text, u64

EPOCH_POSTS = 1000
CHANGES_BEHIND = 64
TRANSCRIPT_POSTS = 4096
PAD_FROM = 64
ROOM_AUDIENCE = labelled("cmdchat audience room 1")

Frame = dict[str, Any]
Place = tuple[bytes, bytes, bytes, bytes]  # room key, log id, audience, sender's fingerprint


class Post(NamedTuple):
    """Something that somebody said."""

    nick: str
    text: str
    kind: str
    private: bool = False
    own: bool = False
    bot: bool = False


class Unreadable(NamedTuple):
    """Something that somebody said, and that cannot be shown, with the reason."""

    nick: str
    reason: str


class Member(NamedTuple):
    id: int
    nick: str
    joined: int
    rsa: bytes
    kem: bytes
    sign: bytes
    run: int
    since: int
    sig: bytes

    @property
    def fingerprint(self) -> bytes:
        numbers = u64(self.run), u64(self.since)
        return digest("cmdchat bundle 2", self.rsa, self.kem, self.sign, *numbers)

    @property
    def is_genuine(self) -> bool:
        return self._is_by_key(self.sig, labelled("cmdchat run 1", self.fingerprint))

    @property
    def flat(self) -> tuple[bytes, bytes]:
        return crypto.name_key(self.nick), self.fingerprint

    def signed(self, signature: str, message: bytes) -> bool:
        return self.is_genuine and self._is_by_key(from_text(signature, 64), message)

    def _is_by_key(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.sign).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Chain:
    """A chain key that stands at the number ``n`` of an epoch."""

    def __init__(self, epoch: int, n: int, ck: bytes) -> None:
        self.epoch, self.n, self.ck = epoch, n, ck

    def at(self, n: int) -> Chain:
        """The same chain, moved on to a later number."""
        moved = Chain(self.epoch, self.n, self.ck)
        while moved.n < n:
            moved.step()
        return moved

    def step(self) -> None:
        self.ck = crypto.hkdf(self.ck, b"", labelled("cmdchat chain step 1"))
        self.n += 1

    def message_key(self, salt: bytes, place: Place) -> bytes:
        info = labelled("cmdchat message key 1", *place, u64(self.epoch), u64(self.n))
        return crypto.hkdf(self.ck, salt, info)


class Heard:
    """The chains of one sender: the one that has proven itself, and those that were wrapped."""

    def __init__(self) -> None:
        self.proven: Chain | None = None
        self.wrapped: list[Chain] = []

    def reaching(self, epoch: int, n: int) -> list[Chain]:
        known = [self.proven, *self.wrapped] if self.proven else self.wrapped
        return [chain for chain in known if chain and chain.epoch == epoch and chain.n <= n]


class Told:
    """What was shown under one change of membership, and how much of it somebody has told."""

    def __init__(self, start: bytes) -> None:
        self.hashes = [start]
        self.told = 0

    def add(self, signature: str) -> None:
        if len(self.hashes) <= TRANSCRIPT_POSTS:
            step = "cmdchat room transcript step 1"
            self.hashes.append(digest(step, self.hashes[-1], from_text(signature, 64)))

    @property
    def count(self) -> int:
        return len(self.hashes) - 1


class Own(NamedTuple):
    """A public post of one's own, until the log has it."""

    change: int
    signature: str
    post: Post
    body: Frame


class Memory:
    """What a client remembers of all rooms, as long as the program runs: numbers of epochs, the
    highest that was opened, who had which keys, posts' ids, changes of logs."""

    def __init__(self) -> None:
        self.epochs: dict[tuple[bytes, bytes], int] = {}
        self.marks: dict[tuple[bytes, bytes, bytes], tuple[int, int]] = {}
        self.known: dict[bytes, bytes] = {}
        self.since: dict[bytes, int] = {}  # key: signing key; lower runs are over
        self.refused: set[bytes] = set()  # fingerprints of keys that do not count
        self.ids: set[tuple[bytes, str]] = set()
        self.changes: dict[bytes, int] = {}  # key: log id; the last change of it


class Room:
    """One room that a client is in, from its `entered` on.

    ``warn`` hears what has to be said besides; ``most``: bytes of a text, as `welcome` says.
    """

    def __init__(
        self, identity: crypto.Identity, memory: Memory, warn: Callable[[str], None], most: int
    ) -> None:
        self._me, self._memory, self._warn, self.most = identity, memory, warn, most
        self._share: set[bytes] = set()  # who has this room's secret, as far as is known
        self._missing = 1  # members that the roster still lacks
        self.at = self.seq = self.number = self.change = 0
        self.log_id, self.own_nick = b"", ""
        self.posts: set[int] = set()  # those without an answer, all sealed for one change
        self.sealed_for = 0

    # Who is here

    @property
    def ready(self) -> bool:
        return not self._missing

    def enter(self, entered: Frame, nicks: Sequence[str], salt: bytes, again: bool) -> None:
        """The beginning of a stay; ``again``: of the same one, after falling behind.

        ``nicks``: one's own, and those that one has asked for and may have by now.
        """
        self.at = entered["at"]
        self.name, self.key = entered["room"], crypto.name_key(entered["room"])
        self.log_id = from_text(entered["log"], 16)
        self.id, self.salt, self.own_nick = entered["id"], salt, nicks[0]
        self._nicks = {crypto.name_key(nick) for nick in nicks}
        self.seq = self.change = entered["seq"]
        self.number = self.number if again else 0
        self._missing = entered["members"]
        if self.seq <= self._memory.changes.get(self.log_id, 0):
            self._warn("a log that has gone back")
        self._share.clear()
        self.members: dict[int, Member] = {}
        self._then: dict[int, dict[int, Member]] = {}  # who was here, by change
        self._told: dict[int, Told] = {}
        self._heard: dict[bytes, Heard] = {}
        self._own: Chain | None = None
        self._holders: set[int] = set()
        self._forgotten = entered["seq"]  # nothing is known of posts under changes before it
        self._sealed: dict[int, Own] = {}  # by ref
        self._privates: set[str] = set()

    def is_same(self, entered: Frame) -> bool:
        """Whether it is this very stay."""
        found = entered["at"], from_text(entered["log"], 16), entered["id"]
        return found == (self.at, self.log_id, self.id)

    @property
    def position(self) -> Frame:
        """How far this client has come here."""
        return {"seq": self.seq, "number": self.number}

    def roster(self, lines: Iterable[Frame]) -> None:
        for line in lines:
            self._missing -= 1
            member = _member(line)
            if member.joined > self.seq or member.id in self.members:
                self._warn("the roster contradicts itself")
            self._meet(member)
            self.members[member.id] = member
        if self._missing < 0:
            self._warn("too many members")
        if not self._missing:
            me = [x for x in self.members.values() if x.fingerprint == self._me.fingerprint]
            names = {crypto.name_key(each.nick) for each in me}
            if [each.id for each in me] != [self.id] or not names <= self._nicks:
                self._warn("the roster has another one as oneself")
            else:
                self.own_nick = me[0].nick
            self._changed()

    @property
    def _self(self) -> Member:
        me = self._me
        return Member(
            self.id, self.own_nick, 0, me.rsa, me.kem, me.sign_key, me.run, me.since, me.sig
        )

    @property
    def nicks(self) -> list[str]:
        return sorted(member.nick for member in self.members.values())

    def named(self, nick: str) -> Member:
        key = crypto.name_key(nick)
        (member,) = [x for x in self.members.values() if crypto.name_key(x.nick) == key]
        return member

    def _meet(self, member: Member) -> None:
        key = crypto.name_key(member.nick)
        since = self._memory.since.get(member.sign, 0)
        if not member.is_genuine or member.run < since:
            self._memory.refused.add(member.fingerprint)
            self._warn(f"{member.nick} has keys that do not count")
            return
        self._memory.since[member.sign] = max(since, member.since)
        if self._memory.known.setdefault(key, member.sign) != member.sign:
            self._warn(f"{member.nick} has other keys than before")
            self._memory.known[key] = member.sign

    def _changed(self) -> None:
        """The membership is another one from ``change`` on."""
        self._memory.changes[self.log_id] = self.change
        self._then[self.change] = dict(self.members)
        for change in sorted(self._then)[:-CHANGES_BEHIND]:
            del self._then[change]
        self._forget()
        fields = [u64(self.change), *_flat(self.members.values())]
        start = digest("cmdchat room transcript 1", self.log_id, *fields)
        self._told[self.change] = Told(start)

    def _forget(self) -> None:
        """Of changes before the last 64, the last 64 that somebody posted under are kept."""
        said = []
        for change in sorted(self._told)[: 1 - CHANGES_BEHIND]:
            if self._told[change].count:
                said.append(change)
            else:
                del self._told[change]
        for change in said[:-CHANGES_BEHIND]:
            del self._told[change]
            self._forgotten = change + 1

    def take_change(self, entry: Frame) -> Any:
        """Who came, went, or has another name: what to tell of it, None for nothing."""
        if not self._follows(entry):
            return None
        self.change = entry["seq"]
        found: Any = None
        if entry["type"] == "joined":
            member = _member(entry["member"])
            if member.id in self.members or member.joined != entry["seq"]:
                self._warn("a change that cannot be")
            else:
                self._meet(member)
                self.members[member.id] = member
                found = member.nick
        elif entry["id"] not in self.members:
            self._warn("a change that cannot be")
        else:
            found = self._change_member(entry)
        self._changed()
        return found

    def _change_member(self, entry: Frame) -> Any:
        member = self.members[entry["id"]]
        if entry["type"] == "renamed":
            self.members[member.id] = member._replace(nick=entry["nick"])
            self._meet(self.members[member.id])
            if member.id == self.id:
                self.own_nick = entry["nick"]
            return member.nick, entry["nick"]
        if entry["type"] == "left":
            del self.members[member.id]
            if member.id in self._holders:
                self._own = None
        self._holders.discard(member.id)  # who has rejoined lacks all keys
        return member.nick

    def _follows(self, entry: Frame) -> bool:
        """Whether an entry's number is above all before, as it has to be."""
        if entry["seq"] <= self.seq:
            self._warn("a number that came before")
            return False
        self.seq = entry["seq"]
        return True

    def reached(self, to: int) -> None:
        self.seq = max(self.seq, to)

    # Sealing

    def _place(self, audience: bytes, sender: bytes) -> Place:
        return self.key, self.log_id, audience, sender

    def _new_chain(self, audience: bytes) -> Chain:
        epochs, place = self._memory.epochs, (self.key, audience)
        epochs[place] = epochs.get(place, 0) + 1
        return Chain(epochs[place], 0, secrets.token_bytes(32))

    def seal(self, text: str, kind: str, most: int) -> tuple[list[Frame], Frame]:
        """Wraps for those who lack the chain, and the box."""
        if len(text.encode()) > most:
            raise ValueError("too long")
        if self._own is None or self._own.n >= EPOCH_POSTS:
            self._own, self._holders = self._new_chain(ROOM_AUDIENCE), {self.id}
        lacking = [x for x in self.members.values() if x.id not in self._holders]
        wraps = []
        for member in lacking:
            try:
                wraps.append(self._wrap(self._own, member, ROOM_AUDIENCE))
            except ValueError:
                self._warn(f"the keys of {member.nick} do not load")
        self._holders |= set(self.members)
        return wraps, self._box(self._own, ROOM_AUDIENCE, text, kind)

    def seal_for(self, nick: str, text: str) -> tuple[Frame, Frame]:
        """Wrap and box for one member alone."""
        member = self.named(nick)
        audience = member_audience(member.id, member.fingerprint)
        chain = self._new_chain(audience)
        wrap = self._wrap(chain, member, audience)
        return wrap, self._box(chain, audience, text, "text")

    def _wrap(self, chain: Chain, member: Member, audience: bytes) -> Frame:
        if member.fingerprint in self._memory.refused:
            raise ValueError("keys that do not count")
        place = self._place(audience, self._me.fingerprint)
        info = wrap_info(place, member.fingerprint, chain.epoch, chain.n)
        wrapped = crypto.wrap(chain.ck, member.rsa, member.kem, info)
        return {"to": member.id, "epoch": chain.epoch, "n": chain.n, "wrapped": to_text(wrapped)}

    def _box(self, chain: Chain, audience: bytes, text: str, kind: str) -> Frame:
        here = self._told[self.change]
        body: Frame = {
            "id": to_text(secrets.token_bytes(16)),
            "kind": kind,
            "text": text,
            "seen": [here.count, to_text(here.hashes[-1])],
        }
        untold = [c for c, x in self._told.items() if c != self.change and x.count > x.told]
        if untold:
            before = self._told[min(untold)]
            body["before"] = [min(untold), before.count, to_text(before.hashes[-1])]
        return self._sealed_box(chain, audience, body)

    def box_of(self, body: Frame) -> Frame:
        """A box for the room over any ``body``."""
        if self._own is None:
            raise ValueError("nothing was sealed before")
        return self._sealed_box(self._own, ROOM_AUDIENCE, body)

    def _sealed_box(self, chain: Chain, audience: bytes, body: Frame) -> Frame:
        place = self._place(audience, self._me.fingerprint)
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        size = max(PAD_FROM, 1 << (len(raw) - 1).bit_length())
        data = crypto.seal(chain.message_key(self.salt, place), raw.ljust(size))
        nick = crypto.name_key(self.own_nick)
        message = signed(place, nick, self.change, chain.epoch, chain.n, data)
        sig = to_text(self._me.sign(message))
        box = {"epoch": chain.epoch, "n": chain.n, "data": data.decode(), "sig": sig}
        post = Post(self.own_nick, body.get("text", ""), body.get("kind", ""), own=True)
        self._last = Own(self.change, sig, post, body)
        chain.step()
        return box

    def sealed(self, ref: int) -> None:
        """The box that was made last goes out under ``ref``."""
        self._sealed[ref] = self._last

    def refused(self, ref: int) -> None:
        self._sealed.pop(ref, None)

    def has_sealed(self, ref: int) -> bool:
        """Whether a box of this room went out under ``ref``, and is not in the log yet."""
        return ref in self._sealed

    # Opening

    def take_key(self, frame: Frame) -> None:
        """A chain that a member has wrapped for this one, or the server has made up."""
        self.number = max(self.number, frame["number"])
        wrap, sender = frame["wrap"], self.members.get(frame["from"])
        if sender is None or wrap["to"] != self.id or not wrap["epoch"] or wrap["n"] > 999:
            self._warn("a key that cannot be")
            return
        place = self._place(ROOM_AUDIENCE, sender.fingerprint)
        heard = self._heard.setdefault(sender.fingerprint, Heard())
        mark = self._memory.marks.get(_marked(place), (0, 0))
        if (wrap["epoch"], wrap["n"]) <= mark:
            return  # behind what was opened: it changes nothing
        chain = self._unwrapped(wrap, place)
        if chain is None:
            self._warn(f"a key of {sender.nick} that does not open")
        else:
            heard.wrapped = [*heard.wrapped, chain][-8:]

    def _unwrapped(self, wrap: Frame, place: Place) -> Chain | None:
        info = wrap_info(place, self._me.fingerprint, wrap["epoch"], wrap["n"])
        try:
            ck = self._me.unwrap(from_text(wrap["wrapped"], 1392), info)
        except ValueError:
            return None
        return Chain(wrap["epoch"], wrap["n"], ck)

    def take_private(self, frame: Frame) -> Post | Unreadable | None:
        self.number = max(self.number, frame["number"])
        box, wrap = frame["box"], frame["wrap"]
        if box["sig"] in self._privates:
            return None  # sent again
        audience = member_audience(self.id, self._me.fingerprint)
        sender = self._then.get(frame["change"], {}).get(frame["from"])
        nick = sender.nick if sender else "?"
        if sender is None or not self._is_signed(sender, audience, frame["change"], box):
            return Unreadable(nick, "name")
        place = self._place(audience, sender.fingerprint)
        if (box["epoch"], box["n"]) <= self._memory.marks.get(_marked(place), (-1, -1)):
            return Unreadable(nick, "replay")
        chain = self._unwrapped(wrap, place)
        if chain is None or (wrap["epoch"], wrap["n"]) != (box["epoch"], box["n"]):
            return Unreadable(nick, "no_key")
        heard = Heard()
        heard.wrapped = [chain]
        taken = self._open(heard, place, sender, frame["change"], box, public=False)
        if isinstance(taken, Post):
            self._privates.add(box["sig"])
        return taken

    def take_post(self, entry: Frame) -> Post | Unreadable | None:
        """A post in the log: somebody's, or one's own."""
        if entry["type"] == "own_posted":
            return self._take_own(entry)
        then = self._then.get(entry["change"], {})
        sender = then.get(entry["from"]) or self.members.get(entry["from"])
        nick = sender.nick if sender else "?"
        follows = entry["seq"] > self.seq
        self.seq = max(self.seq, entry["seq"])
        taken = self._judge(entry, then.get(entry["from"]), nick, follows)
        if entry["change"] in self._told and follows:
            self._told[entry["change"]].add(entry["box"]["sig"])
        return taken

    def _take_own(self, entry: Frame) -> Post | None:
        if not self._follows(entry):
            return None
        if entry["ref"] not in self._sealed:
            self._warn("a post of one's own that was never sealed")
            return None
        own = self._sealed.pop(entry["ref"])
        self._tell(own.change, *own.body["seen"])
        if "before" in own.body:
            self._tell(*own.body["before"])
        if own.change in self._told:
            self._told[own.change].add(own.signature)
        return own.post

    def _judge(
        self, entry: Frame, sender: Member | None, nick: str, follows: bool
    ) -> Post | Unreadable:
        box, change = entry["box"], entry["change"]
        if sender is None or not self._is_signed(sender, ROOM_AUDIENCE, change, box):
            return Unreadable(nick, "name")
        place = self._place(ROOM_AUDIENCE, sender.fingerprint)
        mark = self._memory.marks.get(_marked(place), (-1, -1))
        if (box["epoch"], box["n"]) <= mark or not follows:
            return Unreadable(nick, "replay")
        heard = self._heard.setdefault(sender.fingerprint, Heard())
        return self._open(heard, place, sender, change, box, public=True)

    def _is_signed(self, sender: Member, audience: bytes, change: int, box: Frame) -> bool:
        place = self._place(audience, sender.fingerprint)
        nick = crypto.name_key(sender.nick)
        message = signed(place, nick, change, box["epoch"], box["n"], box["data"].encode())
        return sender.signed(box["sig"], message)

    def _open(
        self, heard: Heard, place: Place, sender: Member, change: int, box: Frame, public: bool
    ) -> Post | Unreadable:
        """From the layer ``key`` on."""
        epoch, n = box["epoch"], box["n"]
        if not epoch or n >= EPOCH_POSTS:
            return Unreadable(sender.nick, "damaged")
        chains = heard.reaching(epoch, n)
        if not chains:
            return Unreadable(sender.nick, "no_key")
        for chain in chains:
            moved = chain.at(n)
            try:
                plain = crypto.unseal(moved.message_key(self.salt, place), box["data"].encode())
            except InvalidToken:
                continue
            break
        else:
            if heard.proven in chains:
                self._share.discard(sender.fingerprint)
            same = sender.fingerprint in self._share
            return Unreadable(sender.nick, "no_key" if same else "secret")
        body = _body(plain, change)
        if body is None:
            return Unreadable(sender.nick, "damaged")
        if not body["text"].strip() or len(body["text"].encode()) > self.most:
            return Unreadable(sender.nick, "bounds")
        moved.step()
        heard.proven = moved
        heard.wrapped = [chain for chain in heard.wrapped if chain.epoch > epoch]
        self._memory.marks[_marked(place)] = (epoch, n)
        self._share.add(sender.fingerprint)
        if (sender.fingerprint, body["id"]) in self._memory.ids:
            return Unreadable(sender.nick, "replay")
        self._memory.ids.add((sender.fingerprint, body["id"]))
        self._compare(sender.nick, change, body, public)
        bot = body.get("bot") is True
        return Post(sender.nick, body["text"], body["kind"], private=not public, bot=bot)

    def _compare(self, nick: str, change: int, body: Frame, public: bool) -> None:
        """What the sender was shown, with what was shown here."""
        points = [[change, *body["seen"]]]
        if "before" in body and body["before"][0] >= self._forgotten:
            points.append(body["before"])
        for point in points:
            if not self._is_shown(*point):
                self._warn(f"{nick} is being shown another room")
            elif public:
                self._tell(*point)

    def _is_shown(self, change: int, count: int, hashed: str) -> bool:
        here = self._told.get(change)
        return here is not None and count <= here.count and to_text(here.hashes[count]) == hashed

    def _tell(self, change: int, count: int, hashed: str) -> None:
        if change in self._told:
            self._told[change].told = max(self._told[change].told, count)

    # Codes

    def code(self, nick: str | None = None) -> str:
        """The 30 digits of the room, or of oneself and one other."""
        pair = self.members.values() if nick is None else [self._self, self.named(nick)]
        data = labelled("cmdchat room code 1", self.key, *_flat(pair))
        raw = crypto.scrypt(data, labelled("cmdchat room code salt 1"))
        digits = str(int.from_bytes(raw, "big") % 10**30).zfill(30)
        return " ".join(digits[at : at + 5] for at in range(0, 30, 5))


def member_audience(member_id: int, fingerprint: bytes) -> bytes:
    return labelled("cmdchat audience member 1", u64(member_id), fingerprint)


def wrap_info(place: Place, recipient: bytes, epoch: int, n: int) -> bytes:
    return labelled("cmdchat chain wrap 1", *place, recipient, u64(epoch), u64(n))


def signed(place: Place, nick: bytes, change: int, epoch: int, n: int, data: bytes) -> bytes:
    """What the signature of a box is over."""
    numbers = (u64(change), u64(epoch), u64(n))
    return labelled("cmdchat post 1", *place, nick, *numbers, data)


def _marked(place: Place) -> tuple[bytes, bytes, bytes]:
    """A mark's place, which outlives the log."""
    return place[0], place[2], place[3]


def _member(line: Frame) -> Member:
    bundle = line["bundle"]
    keys = (("rsa", 256), ("kem", 1216), ("sign", 32), ("sig", 64))
    rsa, kem, sign, sig = (from_text(bundle[name], size) for name, size in keys)
    run, since = bundle["run"], bundle["since"]
    if type(run) is not int or type(since) is not int or not 0 <= since <= run < 2**53:
        raise ValueError("numbers of a run")
    return Member(line["id"], line["nick"], line["joined"], rsa, kem, sign, run, since, sig)


def _flat(members: Iterable[Member]) -> list[bytes]:
    return [part for pair in sorted(member.flat for member in members) for part in pair]


def _body(plain: bytes, change: int) -> Frame | None:
    """What is in a box, None if it is not as it has to be."""
    if len(plain) < PAD_FROM or len(plain) & (len(plain) - 1):
        return None
    try:
        body = json.loads(plain.decode())
        body["text"].encode()
        from_text(body["id"], 16)
        points = [[change, *body["seen"]]]
        if body.get("before") is not None:
            points.append(body["before"])
            if not body["before"][0] < change or body["before"][1] < 1:
                return None
        for _, count, hashed in points:
            if type(count) is not int or not 0 <= count <= TRANSCRIPT_POSTS:
                return None
            from_text(hashed, 32)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    found: Frame = {key: value for key, value in body.items() if value is not None}
    return found if found["kind"] in ("text", "action") else None
