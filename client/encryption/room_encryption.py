"""The room layer's core: what this client can read, what it seals and for whom, whom it trusts.

The server carries boxes that it cannot open, and says who is in the room; this module takes
nothing that the server says for more than that.  Keys come from ``sender_keys``, boxes from
``envelope``, the comparison of what everybody was shown from ``transcript``.

How a post is judged, in this order, and the reason under which it stays unreadable:

    name     its sender was in the room at ``change``, and the signature
             is for the nickname and by the keys that it had there        name
    mark     (epoch, n) is above all that was opened of this sender       replay
    number   its place in the log is a new one                            replay
    key      a chain that leads to it was wrapped for this client         no_key
    token    it opens under that chain and the room secret                secret, no_key
    body     it says something that the specification allows              damaged
    text     it is not blank, nor longer than the server allows           bounds
    id       it is the first post of this sender with its id              replay

Nothing but a box that opened moves a chain or a mark, so what is forged, replayed or sent far
ahead takes nothing away from what is genuine.

No sockets, threads, clocks or output.  Not safe for two threads at once: the session's lock
covers it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from client.encryption import envelope
from client.encryption.envelope import Body
from client.encryption.membership import Membership
from client.encryption.posts import OpenedPost, PostId, SealedPost, Undecryptable, UndecryptablePost
from client.encryption.roster import MemberSet, RosterDraft, RosterEntry, RosterHistory
from client.encryption.run_state import RunState
from client.encryption.sender_keys import (
    ROOM_AUDIENCE,
    Context,
    SenderChain,
    SenderKeys,
    member_audience,
    readable_number,
)
from client.encryption.transcript import Pair
from client.encryption.trust import VERIFIED, TrustWarning
from protocol.dataclass import replace
from protocol.errors import Gone, KeyUnusable, Malformed
from protocol.frames import Box, MemberLine, Wrap
from protocol.limits import EPOCH_POSTS, POST_ID_BYTES
from protocol.names import nick_key, room_key


class RoomEncryption:
    """The room layer of one membership: from joining a room to leaving it, or being joined anew.

    What outlasts it (epochs, marks, trust) is in ``run``, which the memberships of one client
    share; there is one at a time for each room.  ``warnings``: what was wrong on the way in.
    """

    def __init__(
        self,
        run: RunState,
        room: str,
        log_id: bytes,
        me: int,
        members: Sequence[MemberLine],
        change: int,
        salt: bytes,
        guarded: bool,
    ) -> None:
        """As ``Encryption.enter``, which makes these, has it."""
        self._run, self._identity, self._trust = run, run.identity, run.trust
        own, warnings = self._own_line(me, members, change)
        if not run.moved_on(log_id, change):
            warnings.append(TrustWarning("bad_roster", None))
        roster = RosterDraft(own)
        for entry in (run.entry(line) for line in members if line.id != me):
            if not roster.takes(entry) or entry.member.joined > change:
                warnings.append(TrustWarning("bad_roster", entry.nick))
                continue  # with no place in the roster it gets no keys
            warnings += self._met(room_key(room), entry, roster, guarded)
            roster.add(entry)
        self._trust.remember(own)
        history = RosterHistory(log_id, change, roster.members())
        self._room = Membership(room_key(room), log_id, me, salt, history)
        self._room.comes_after(run.memberships.get(self._room.key))
        run.memberships[self._room.key] = self._room
        self._set_aside()
        self.warnings = warnings

    # Who is here

    def joined(self, seq: int, member: MemberLine) -> list[TrustWarning]:
        """The log's entry ``seq``: a newcomer."""
        room, entry = self._room, self._run.entry(member)
        known = room.history.entry(member.id)  # an id is never given again
        if not room.counts(seq) or known or not room.roster.takes(entry):
            return self._contradiction(seq, entry.nick)
        is_back = entry.fingerprint in room.expected
        warnings = self._met(room.key, entry, room.roster, self.all_verified() and not is_back)
        room.expected.discard(entry.fingerprint)
        self._move(seq, room.roster.with_entry(entry))
        self._set_aside()
        return warnings

    def left(self, seq: int, member: int) -> list[TrustWarning]:
        """The log's entry ``seq``: somebody is gone, and must not read what comes."""
        room = self._room
        entry = room.roster.get(member)
        if not room.counts(seq) or entry is None or member == room.me:
            return self._contradiction(seq, entry.nick if entry else None)
        if member in room.given:
            room.chain = None  # the next post starts an epoch
        room.sender_keys.pop(member, None)
        room.unusable.discard(member)
        self._move(seq, room.roster.without(member))
        return []

    def renamed(self, seq: int, member: int, nick: str) -> list[TrustWarning]:
        """The log's entry ``seq``: a member, perhaps oneself, has another nickname."""
        room = self._room
        before = room.roster.get(member)
        after = before.renamed(nick) if before else None
        if not room.counts(seq) or not before or not after or not room.roster.takes(after):
            return self._contradiction(seq, before.nick if before else None)
        self._move(seq, room.roster.with_entry(after))
        if member == room.me:
            self._trust.remember(after)
            return []
        return self._alike(after, room.roster, self._trust.renamed(before, after))

    def rejoined(self, seq: int, member: int) -> list[TrustWarning]:
        """The log's entry ``seq``: another member lost its keys, and needs ours again.

        It is given the chain at the next number, under the keys that it always had: a server
        that invents this gains nothing by it.
        """
        room = self._room
        entry = room.roster.get(member)
        if not room.counts(seq) or entry is None or member == room.me:
            return self._contradiction(seq, entry.nick if entry else None)
        room.holders.discard(member)
        self._move(seq, room.roster.with_entry(entry.rejoined(seq)))
        return []

    def members(self) -> tuple[MemberLine, ...]:
        """Everybody in the room, oneself included."""
        return tuple(entry.member for entry in self._room.roster)

    def find(self, nick: str) -> MemberLine | None:
        """The member with this nickname, if it is here."""
        entry = self._room.roster.find(nick)
        return entry.member if entry else None

    # Trust

    def verify(self, nick: str, fingerprint: bytes) -> None:
        """Mark a member as verified: its code was compared, and it was for ``fingerprint``.

        Raises Gone if the nickname has other keys by now, or nobody has it.
        """
        entry = self._room.roster.find(nick)
        if entry is None or entry.fingerprint != fingerprint:
            raise Gone()
        if self._trust.is_refused(fingerprint):
            raise Gone()
        self._trust.verify(entry)

    def is_verified(self, fingerprint: bytes) -> bool:
        """Whether these keys are verified, or one's own."""
        return self.standing(fingerprint) == VERIFIED

    def standing(self, fingerprint: bytes) -> str:
        """``verified`` (these keys, or they are one's own), ``known`` or ``new``: see Trust."""
        holder = self._room.roster.holder(fingerprint)
        return self._run.standing(fingerprint, holder.key if holder else None)

    def _is_verified(self, entry: RosterEntry) -> bool:
        return self._run.standing(entry.fingerprint, entry.key) == VERIFIED

    def compared_as(self, member: MemberLine) -> str | None:
        """The nickname under which this member was verified, if it has another one now."""
        bundle = member.bundle
        if bundle == self._identity.bundle or not self.is_verified(bundle.fingerprint):
            return None
        return self._trust.compared_as(nick_key(member.nick), bundle.sign)

    def all_verified(self) -> bool:
        """Whether somebody else is here, and everybody is verified."""
        others = self._room.others()
        return bool(others) and all(map(self._is_verified, others))

    def code_pairs(self, nick: str | None = None) -> tuple[Pair, ...]:
        """What ``safety_numbers.room_code`` takes: for all members, or oneself and ``nick``.

        Raises Gone if nobody has this nickname.
        """
        room = self._room
        if nick is None:
            return room.roster.pairs()
        entry = room.roster.find(nick)
        if entry is None:
            raise Gone()
        return (room.own.pair, entry.pair)

    @property
    def has_secret(self) -> bool:
        """Whether the room has a secret, without which nothing here opens."""
        return bool(self._room.salt)

    def guard(self, salt: bytes) -> bool:
        """From now on the room has a secret, by its ``secret_salt``; False if others are here, and
        could not read what comes next."""
        if self._room.others():
            return False
        self.resalt(salt)
        return True

    def resalt(self, salt: bytes) -> None:
        """The room has another secret from now on, by its ``secret_salt``; whoever is here stays.

        One's own posts are sealed with it from the next one on, and others' are opened with it;
        one that was sealed under another secret stays shut, even if it was under way.

        Chains go on, one's own too: each of its numbers is sealed once, so no key is used with two
        salts, and the salt enters every key, so whoever was given the chain reads on with the new
        secret and nobody without.  What did not open has moved nothing: with the right secret, all
        opens that comes from then on, whenever it was sealed.  A proven chain is its sender's as
        before, but no longer says that they have the same secret: until something of theirs opens,
        what does not open is put down to that.
        """
        self._room.resalt(salt)

    # Sealing

    @property
    def change(self) -> int:
        """The last change of membership that this client knows."""
        return self._room.history.now.change

    def seal(self, kind: str, text: str, post_id: PostId = None, bot: bool = False) -> SealedPost:
        """A post for everybody who is here now.

        ``kind`` is ``text`` or ``action``; ``post_id`` that of a sealing that was refused; ``bot``:
        a program answers.  The wraps have to go out even if the post does not: nobody is given the
        same chain twice.  Raises Malformed if ``text`` is not text (lone surrogates).
        """
        room = self._room
        room.expected.clear()  # it was said to those who are here: whoever comes now is told of
        body = self._body(kind, text, post_id, bot)
        plain = body.encode()
        if room.chain is None or room.chain.n >= EPOCH_POSTS:
            room.chain = self._new_chain(ROOM_AUDIENCE)
            room.holders, room.given = set(), set()
        chain, context = room.chain, room.context(ROOM_AUDIENCE, self._identity.fingerprint)
        wraps, warnings = room.wrap_for_others(chain, context)
        box = self._box(chain, context, plain)
        room.chain = chain.at(chain.n + 1)
        room.sealed(box.sig, body)
        return SealedPost(room.history.now.change, wraps, box, body.id, warnings)

    def seal_private(
        self, to: int, fingerprint: bytes, kind: str, text: str, post_id: PostId = None,
        bot: bool = False,
    ) -> SealedPost:
        """A post for one other member, by id and keys, with a chain of its own.

        Raises Gone if that member with those keys is not here, KeyUnusable if its keys do not
        load or do not count, Malformed as ``seal`` does.
        """
        room = self._room
        entry = room.roster.get(to)
        if entry is None or entry.fingerprint != fingerprint or to == room.me:
            raise Gone()
        if self._trust.is_refused(fingerprint):
            raise KeyUnusable()
        body = self._body(kind, text, post_id, bot)
        plain = body.encode()
        audience = member_audience(to, fingerprint)
        chain = self._new_chain(audience)
        context = room.context(audience, self._identity.fingerprint)
        wrap = chain.wrap(context, to, entry.member.bundle)
        box = self._box(chain, context, plain)
        return SealedPost(room.history.now.change, (wrap,), box, body.id)

    def own(self, seq: int, change: int, sig: bytes) -> None:
        """The log's entry ``seq``: one's own post, sealed for ``change`` with signature ``sig``."""
        room = self._room
        version = room.history.get(change)
        if room.counts(seq) and version:
            version.transcript.add(sig)
            room.placed(change, sig)

    # Opening

    def add_wrap(self, sender: int, wrap: Wrap) -> list[TrustWarning]:
        """A chain of ``sender``, wrapped for this client."""
        room = self._room
        shape = (sender, wrap.to, wrap.epoch, wrap.n, hashlib.sha256(wrap.wrapped).digest())
        if not room.delivered.add(shape):
            return []  # a resume may bring it again
        entry = room.roster.get(sender)
        if entry is None:
            return [TrustWarning("bad_wrap", None)]
        context = room.context(ROOM_AUDIENCE, entry.fingerprint)
        chain = self._unwrap(context, wrap)
        if (
            chain is None
            or sender == room.me
            or self._run.replay_guard.passed(context, chain.epoch, chain.n)
            or not room.keys_of(sender).offer(chain)
        ):
            return [TrustWarning("bad_wrap", entry.nick)]
        return []

    def open(
        self, seq: int, sender: int, change: int, box: Box
    ) -> tuple[OpenedPost | UndecryptablePost, list[TrustWarning]]:
        """The log's entry ``seq``: a public post."""
        room = self._room
        version = room.history.get(change)
        new = room.counts(seq)
        if new and version:
            # Whatever it turns out to be: all were given it, so all count it.
            version.transcript.add(box.sig)
        try:
            entry, context = self._judge(sender, change, ROOM_AUDIENCE, box)
            if not new:
                raise Undecryptable(entry.nick, "replay", "replay")
            keys = room.keys_of(sender)
            chain, plain = _unseal(keys, context, room.salt, box, entry.nick)
            body = self._read_body(plain, change, entry.nick)
            keys.prove(chain, context, room.salt)
            accepted = self._accept(entry, context, change, box, body)
            room.acknowledge(change, body)
            return accepted
        except Undecryptable as undecryptable:
            return undecryptable.post, undecryptable.warnings

    def open_private(
        self, sender: int, change: int, wrap: Wrap, box: Box
    ) -> tuple[OpenedPost | UndecryptablePost | None, list[TrustWarning]]:
        """A private post for this client; None if it is one that came before.

        That is no replay: a resume may bring it again, byte for byte, and nothing is shown.
        """
        room = self._room
        shape = (sender, change, wrap.to, wrap.epoch, wrap.n, box.epoch, box.n, box.sig)
        content = hashlib.sha256(wrap.wrapped + box.data).digest()
        if not room.delivered.add((*shape, content)):
            return None, []
        audience = member_audience(room.me, self._identity.fingerprint)
        try:
            entry, context = self._judge(sender, change, audience, box)
            chain = self._unwrap(context, wrap)
            if chain is None or (chain.epoch, chain.n) != (box.epoch, box.n):
                raise Undecryptable(entry.nick, "no_key", "bad_wrap")
            plain = envelope.unseal(box.data, chain, context, room.salt)
            if plain is None:
                raise _wrong_key(room.keys_of(sender), entry.nick)
            body = self._read_body(plain, change, entry.nick)
            return self._accept(entry, context, change, box, body)
        except Undecryptable as undecryptable:
            return undecryptable.post, undecryptable.warnings

    # Parts

    def _own_line(
        self, me: int, members: Sequence[MemberLine], change: int
    ) -> tuple[RosterEntry, list[TrustWarning]]:
        """Oneself as the roster has it, but with the keys that one really has."""
        bundle = self._identity.bundle
        lines = [line for line in members if line.id == me]
        own = lines[0] if lines else MemberLine(me, "", change, bundle)
        genuine = len(lines) == 1 and own.bundle == bundle and own.joined <= change
        warnings = [] if genuine else [TrustWarning("bad_roster", own.nick or None)]
        return RosterEntry(replace(own, bundle=bundle)), warnings

    def _met(
        self, room: str, entry: RosterEntry, others: MemberSet | RosterDraft, guarded: bool
    ) -> list[TrustWarning]:
        """``entry`` appears; ``guarded``: everybody else was verified until now."""
        warnings = self._alike(entry, others, self._run.meet(entry, room))
        if guarded and not self._is_verified(entry):
            warnings.append(TrustWarning("unverified_member", entry.nick))
        return warnings

    def _alike(
        self,
        entry: RosterEntry,
        others: MemberSet | RosterDraft,
        warnings: list[TrustWarning],
    ) -> list[TrustWarning]:
        """``warnings``, and that its nickname looks like another's: no honest server grants one."""
        if others.has_look_alike(entry) and "bad_roster" not in [each.code for each in warnings]:
            warnings.append(TrustWarning("bad_roster", entry.nick))
        return warnings

    def _set_aside(self) -> None:
        prints = (entry.fingerprint for entry in self._room.others())
        self._room.set_aside(*filter(self._trust.is_refused, prints))

    def _move(self, seq: int, roster: MemberSet) -> None:
        self._run.moved_on(self._room.log_id, seq)
        self._room.history.move(seq, roster)

    def _contradiction(self, seq: int, nick: str | None) -> list[TrustWarning]:
        """A change that cannot be: it changes nobody, but others may name its number."""
        if seq > self._room.history.now.change:
            self._move(seq, self._room.roster)
        return [TrustWarning("bad_roster", nick)]

    def _new_chain(self, audience: bytes) -> SenderChain:
        return SenderChain.start(self._run.next_epoch(self._room.key, audience))

    def _body(self, kind: str, text: str, post_id: PostId, bot: bool) -> Body:
        new_id = secrets.token_bytes(POST_ID_BYTES)
        history = self._room.history
        seen = history.now.transcript.seen()
        return Body(post_id or new_id, kind, text, seen, history.unacknowledged(), bot)

    def _box(self, chain: SenderChain, context: Context, plain: bytes) -> Box:
        room = self._room
        data = envelope.seal(plain, chain, context, room.salt)
        change = room.history.now.change
        message = envelope.signed(context, room.own.key, change, chain.epoch, chain.n, data)
        return Box(chain.epoch, chain.n, data, self._identity.sign(message))

    def _unwrap(self, context: Context, wrap: Wrap) -> SenderChain | None:
        if wrap.to != self._room.me or wrap.epoch < 1 or not readable_number(wrap.n):
            return None
        info = context.wrap_info(self._identity.fingerprint, wrap.epoch, wrap.n)
        try:
            return SenderChain(wrap.epoch, wrap.n, self._identity.unwrap(wrap.wrapped, info))
        except KeyUnusable:
            return None

    def _read_body(self, plain: bytes, change: int, nick: str) -> Body:
        """What was in a box: every reader judges it anew, since no server can see it."""
        try:
            body = Body.decode(plain)
        except Malformed:
            raise Undecryptable(nick, "damaged") from None
        if body.before and body.before.change >= change:
            raise Undecryptable(nick, "damaged")
        if not envelope.is_fit(body.text, self._run.most):
            raise Undecryptable(nick, "bounds")
        return body

    def _judge(
        self, sender: int, change: int, audience: bytes, box: Box
    ) -> tuple[RosterEntry, Context]:
        """Who sealed ``box`` and where, if it was ``sender`` and for the first time."""
        room = self._room
        version = room.history.get(change)
        entry = version.roster.get(sender) if version else room.history.entry(sender)
        if entry is None:
            raise Undecryptable(f"#{sender}", "name", "forged")
        context = room.context(audience, entry.fingerprint)
        message = envelope.signed(context, entry.key, change, box.epoch, box.n, box.data)
        genuine = entry.member.bundle.verify(box.sig, message)
        if not genuine or self._trust.is_refused(entry.fingerprint):
            raise Undecryptable(entry.nick, "name", "forged")
        if sender == room.me or self._run.replay_guard.passed(context, box.epoch, box.n):
            raise Undecryptable(entry.nick, "replay", "replay")
        if version is None:
            # It is the sender's own word that there was such a change, and there was none here.
            raise Undecryptable(entry.nick, "name", *room.differs(sender, change))
        return entry, context

    def _accept(
        self,
        entry: RosterEntry,
        context: Context,
        change: int,
        box: Box,
        body: Body,
    ) -> tuple[OpenedPost, list[TrustWarning]]:
        room = self._room
        self._run.replay_guard.move(context, box.epoch, box.n, self._run.fingerprints)
        keys = entry.fingerprint
        if not self._run.ids.add((keys, body.id)):
            raise Undecryptable(entry.nick, "replay", "replay")
        verified = self._is_verified(entry)
        opened = OpenedPost(entry.nick, body.kind, body.text, body.id, verified, body.bot, keys)
        differ = [at for at, seen in body.claims(change) if not room.history.agrees(at, seen)]
        codes = room.differs(entry.id, *differ) if differ else ()
        return opened, [TrustWarning(code, entry.nick) for code in codes]


def _unseal(
    keys: SenderKeys, context: Context, salt: bytes, box: Box, nick: str
) -> tuple[SenderChain, bytes]:
    """The chain that opens ``box``, at the box's number, and what was in it."""
    if box.epoch < 1 or not readable_number(box.n):
        raise Undecryptable(nick, "damaged")
    reaching = keys.reaching(box.epoch, box.n)
    for chain in (known.at(box.n) for known in reaching):
        plain = keys.opener(chain, context, salt).open(box.data)
        if plain is not None:
            return chain, plain
    if not reaching:
        raise Undecryptable(nick, "no_key")
    if keys.proven in reaching:
        keys.shared = False  # the key is its sender's, so the secret is another one
    raise _wrong_key(keys, nick)


def _wrong_key(keys: SenderKeys, nick: str) -> Undecryptable:
    """A genuine box does not open under a key that never opened anything.

    Of who has the same room secret, the key was not the sender's.  Of who is not known to have it,
    the secret is the likelier reason.
    """
    if not keys.shared:
        return Undecryptable(nick, "secret")
    return Undecryptable(nick, "no_key", "bad_wrap")
