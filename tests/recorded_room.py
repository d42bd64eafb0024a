"""A room that keeps, beside all that it does, what the engine's scripts would have written.

So mirrors can be fed with entries that are as they should be, without an engine.
"""

from __future__ import annotations

import json

from protocol.codec import encode
from protocol.keys import Bundle, Recipient
from server.cluster.entries import LogEntry, PrivateEntry, read_log, read_private
from server.cluster.mirror import MirrorRoom
from server.member import Member, Owner
from server.rooms import Room

RawEntry = list[bytes | list[bytes]]


def bundle(number: int) -> Bundle:
    """A bundle that is nobody else's; it has the size of one, and opens nothing."""
    return Bundle(Recipient(bytes(256), bytes(1216)), bytes(32), number, 0, bytes(64))


def raw(number: int, **fields: object) -> RawEntry:
    """An entry of a log or of a private stream as the engine gives it."""
    flat: list[bytes] = []
    for name, value in fields.items():
        flat += [name.encode(), value if isinstance(value, bytes) else str(value).encode()]
    return [b"%d-0" % number, flat]


class RecordedRoom(Room[Owner]):
    """``entries`` is all that ever was in its log, ``private`` what waits for each member."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name, number)
        self.entries: list[RawEntry] = []
        self.private: dict[int, list[RawEntry]] = {}  # key: member id
        self._wrapped_for: list[int] = []

    def log(self, after: int, up_to: int | None = None) -> list[LogEntry]:
        """The entries after a number, read as they come from an engine."""
        return [read_log(each) for each in self.entries[after:up_to]]

    def waiting(self, member_id: int, after: int) -> list[PrivateEntry]:
        """What is in a member's private stream after a number, likewise."""
        found = [read_private(each) for each in self.private.get(member_id, [])]
        return [entry for entry in found if entry.number > after]

    def roster(self) -> list[tuple[int, int, str, str, bytes]]:
        """The members, as ``MirrorRoom.load`` wants them."""
        return [
            (
                each.id,
                each.joined,
                each.bundle.fingerprint.hex(),
                each.nick,
                each.bundle.encoded,
            )
            for each in self._members.values()
        ]

    def _append_locked(
        self,
        encoded: bytes,
        sender: int = 0,
        change: int = 0,
        stub: bytes = b"",
        bundle: bytes = b"",
    ) -> None:
        self.entries.append(raw(self._seq, **self._fields(encoded, sender, change, stub, bundle)))
        super()._append_locked(encoded, sender, change, stub, bundle)

    def _fields(
        self, encoded: bytes, sender: int, change: int, stub: bytes, bundle: bytes
    ) -> dict[str, object]:
        entry = json.loads(encoded)
        if entry["type"] == "posted":
            rest = encoded[len(b'{"type":"posted","seq":%d' % self._seq) :]
            fields = {"p": b"%d%s" % (json.loads(stub)["ref"], rest)}
            wrapped_for, self._wrapped_for = self._wrapped_for, []
            return {**fields, **({"w": ",".join(map(str, wrapped_for))} if wrapped_for else {})}
        if entry["type"] == "joined":
            member_id = entry["member"]["id"]
            fingerprint = self._members[member_id].bundle.fingerprint.hex()
            nick = encode(entry["member"]["nick"])
            return {"k": "j", "s": member_id, "f": fingerprint, "n": nick, "b": bundle}
        if entry["type"] == "renamed":
            return {"k": "n", "s": entry["id"], "n": encode(entry["nick"])}
        return {"k": {"left": "l", "rejoined": "r"}[entry["type"]], "s": entry["id"]}

    def _enqueue_locked(
        self, target: Member[Owner], kind: bytes, rest: bytes, sender: int = 0
    ) -> None:
        super()._enqueue_locked(target, kind, rest, sender)
        entry = raw(target.private.number, a=self._seq, s=sender, k=kind, e=rest)
        self.private.setdefault(target.id, []).append(entry)
        if kind == b"key_for":
            self._wrapped_for.append(target.id)

    def _arrive_locked(self, member: Member[Owner]) -> None:
        super()._arrive_locked(member)
        self.private.pop(member.id, None)


def mirror_of(
    room: RecordedRoom[Owner], behind: list[Member[Owner]] | None = None
) -> MirrorRoom[Owner]:
    """A mirror that follows ``room`` from now on; who falls behind is put into ``behind``."""
    asked: list[Member[Owner]] = [] if behind is None else behind
    mirror = MirrorRoom(room.name, room.name, room.number, room.log_id, asked.append)
    mirror.load(room._seq, room.roster())
    mirror.open()
    return mirror


def follow(mirror: MirrorRoom[Owner], room: RecordedRoom[Owner]) -> None:
    """Have a mirror do as the reader has it: all that is new."""
    entries = room.log(mirror.seq)
    wrapped = [each for entry in entries for each in getattr(entry, "wrapped_for", ())]
    for member_id, after in mirror.to_read({*wrapped, *room.private}).items():
        mirror.put_private(member_id, room.waiting(member_id, after))
        mirror.tell([member_id])
    mirror.apply(entries)
    for member_id, after in mirror.untold().items():
        mirror.put_private(member_id, room.waiting(member_id, after))
        mirror.tell([member_id])
