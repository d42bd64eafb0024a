"""One stay in one room: who is here, how far its log has come, and what each entry of it shows.

The keys are those of its ``encryption``, which is this stay's alone; the ``Outbox``, with the lines
on their way, serves every room.  What is to be seen is returned as events, in order.  Not
thread-safe: the session's lock covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from client import events, messages
from client.encryption.encryption import Encryption
from client.encryption.posts import OpenedPost, SealedPost, UndecryptablePost
from client.encryption.trust import KNOWN, VERIFIED, TrustWarning
from client.ignored import Ignored
from client.outbox import Line, Outbox
from client.own_name import OwnName
from client.view_list import ViewList
from client.views import PersonTarget, person_target
from protocol import frames
from protocol.errors import Gone, KeyUnusable, Malformed
from protocol.names import nick_key, room_key


class NotSealed(Exception):
    """A line is not to be sent as things are now; ``reason`` is that of ``NotSent``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OpenRoom:
    """A room that this client is in, or was in when the connection was lost.

    ``guarded``: in the stay before this one everybody was verified.  ``warnings``: what was wrong
    with the roster on the way in.
    """

    def __init__(
        self,
        entered: frames.Entered,
        roster: Sequence[frames.MemberLine],
        salt: bytes,
        encryption: Encryption,
        outbox: Outbox,
        own: OwnName,
        ignored: Ignored,
        views: ViewList,
        guarded: bool = False,
    ) -> None:
        self.name, self.at, self.log, self.id = entered.room, entered.at, entered.log, entered.id
        self.seq = entered.seq  # of the last entry that has come
        self.number = 0  # of the last frame for this client alone
        self.awaited = 0  # the number in the log of the change that was accepted last
        self._named = own.current  # what the log has told of last, of one's own nicknames
        self._outbox, self._own, self._ignored, self._views = outbox, own, ignored, views
        self.encryption = encryption.enter(
            self.name, self.log, self.id, roster, self.seq, salt, guarded
        )
        self.warnings = self.encryption.warnings

    def is_called(self, room: str) -> bool:
        """Whether ``room`` is a name of this one."""
        return room_key(self.name) == room_key(room)

    def is_same(self, entered: frames.Entered) -> bool:
        """Whether ``entered`` is about this very stay."""
        return (entered.at, entered.log, entered.id) == (self.at, self.log, self.id)

    def missed(self, entered: frames.Entered) -> int | None:
        """How many entries of its log a new join comes after; None where it is another log."""
        if entered.log != self.log:
            return None
        return max(0, entered.seq - self.seq - 2)  # one's own leaving and coming are not news

    # Who is here

    def members(self) -> tuple[frames.MemberLine, ...]:
        """Everybody, oneself included."""
        return self.encryption.members()

    def others(self) -> list[frames.MemberLine]:
        """Everybody but oneself."""
        return [member for member in self.members() if member.id != self.id]

    def other(self, nick: str) -> frames.MemberLine | None:
        """The other member who bears this nickname now."""
        found = self.encryption.find(nick)
        return None if found is None or found.id == self.id else found

    def bearer(self, keys: bytes | None) -> frames.MemberLine | None:
        """The other member with these keys, under whatever nickname by now."""
        return next((each for each in self.others() if each.bundle.fingerprint == keys), None)

    def is_verified(self, member: frames.MemberLine) -> bool:
        """Whether this member's keys were compared, or are one's own."""
        return self.encryption.is_verified(member.bundle.fingerprint)

    def views(self) -> tuple[events.MemberView, ...]:
        """The member list."""
        members = sorted(self.members(), key=lambda member: nick_key(member.nick))
        return tuple(
            events.MemberView(
                member.nick, self.is_verified(member), self._standing(member),
                self.encryption.compared_as(member),
            )  # fmt: skip
            for member in members
        )

    def trust_summary(self) -> events.TrustSummary:
        """How many others are here, and how many of them are verified or known."""
        standings = [self._standing(member) for member in self.others()]
        verified, known = (standings.count(word) for word in (VERIFIED, KNOWN))
        return events.TrustSummary(len(standings), verified, known, self.name)

    def _standing(self, member: frames.MemberLine) -> str:
        return self.encryption.standing(member.bundle.fingerprint)

    def told(self, warnings: Iterable[TrustWarning]) -> list[events.Event]:
        """What there is to say about ``warnings``; louder about who is verified."""
        return [self._warning(warning) for warning in warnings]

    def _warning(self, warning: TrustWarning) -> events.Warning:
        text = messages.warning(warning.code, warning.nick, warning.loud)
        found = None if warning.nick is None else self.encryption.find(warning.nick)
        verified = found is not None and self.is_verified(found)
        return events.Warning(
            warning.code, warning.nick, text, warning.loud or verified, self.name
        )

    def take_own_nick(self, returning: bool) -> list[events.Event]:
        """One's nickname as the roster has it: posts here are signed with that one.

        It may have changed unseen only while one was connected.
        """
        own, before = self._member(self.id), self._own.nick
        if own is None or not own.nick or nick_key(own.nick) == nick_key(before):
            return []
        found = self._own.found(own.nick)
        if returning:
            self.warnings.append(TrustWarning("bad_roster", self._own.nick))
            return []
        if found is None:
            self.warnings.append(TrustWarning("renamed", self._own.nick))
        else:
            self._named = found
        if self._own.nick == before:
            return []  # it has an older one yet
        return [events.MemberRenamed(self.name, before, self._own.nick, True)]

    def _member(self, member: int) -> frames.MemberLine | None:
        return next((line for line in self.members() if line.id == member), None)

    # Lines of one's own

    def find_person(self, view: str, nick: str) -> frames.MemberLine | None:
        """The other member with the view of this key; of several, who bears the nickname."""
        found = [
            member
            for member in self.others()
            if person_target(member.nick, member.bundle.sign).key == view
        ]
        named = [member for member in found if nick_key(member.nick) == nick_key(nick)]
        return next(iter([*named, *found]), None)

    def meet(self, member: frames.MemberLine, wrote: bool = False) -> PersonTarget:
        """The view of another member, who is written to, or ``wrote``, in private."""
        return self._views.meet(member.nick, member.bundle.sign, self._standing(member), wrote)

    def persons(self) -> Iterator[PersonTarget]:
        """The others, as a view of each would be."""
        for member in self.others():
            yield person_target(member.nick, member.bundle.sign, self._standing(member))

    def target(self, line: Line) -> frames.MemberLine | None:
        """The member whom a line is for, by its keys."""
        members = (member for member in self.others())
        return next((one for one in members if one.bundle.fingerprint == line.target), None)

    def seal(self, line: Line) -> SealedPost:
        """``line`` for who is here now.  Raises NotSealed, also where it was not meant for them."""
        if line.is_longer(self._outbox.most):
            raise NotSealed("too_long")
        encryption, text = self.encryption, line.text
        try:
            if line.target is None:
                if line.guarded and not encryption.all_verified():
                    raise NotSealed("unverified")
                return encryption.seal(line.kind, text, line.post_id, line.bot)
            if line.guarded and not encryption.is_verified(line.target):
                raise NotSealed("unverified")
            member = self.target(line)
            if member is None:
                raise NotSealed("gone")
            if line.secret and not encryption.has_secret:
                raise NotSealed("no_secret")
            return encryption.seal_private(
                member.id, line.target, line.kind, text, line.post_id, line.bot
            )
        except (Gone, KeyUnusable):
            raise NotSealed("gone") from None
        except Malformed:
            raise NotSealed("not_text") from None

    # What the server brings

    def take(self, entry: frames.Frame) -> list[events.Event]:
        """The next entry of the log, or a frame for this client alone."""
        return HANDLERS[type(entry)](self, entry)

    def _on_key(self, frame: frames.KeyFor) -> list[events.Event]:
        self.number = frame.number
        return self.told(self.encryption.add_wrap(frame.sender, frame.wrap))

    def _on_private(self, post: frames.PrivateFor) -> list[events.Event]:
        self.number = post.number
        opened, warnings = self.encryption.open_private(
            post.sender, post.change, post.wrap, post.box
        )
        found = self.told(warnings)
        return found if opened is None else self._shown(post.sender, opened, None) + found

    def _on_posted(self, post: frames.Posted) -> list[events.Event]:
        opened, warnings = self.encryption.open(post.seq, post.sender, post.change, post.box)
        return self._shown(post.sender, opened, post.seq) + self.told(warnings)

    def _shown(
        self, sender: int, post: OpenedPost | UndecryptablePost, seq: int | None
    ) -> list[events.Event]:
        """``seq`` is None for a private one."""
        if self._ignores(sender, post.nick):
            return []
        if isinstance(post, UndecryptablePost):
            return [events.Unreadable(self.name, post.nick, seq, post.reason)]
        to = view = None
        if seq is None:
            to, member = self._own.nick, self._member(sender)
            view = None if member is None else self.meet(member, wrote=True).key
        message = events.Message(
            self.name, post.nick, post.text, seq, False, seq is None, post.verified, post.kind, to,
            bot=post.bot, view=view, keys=post.keys,
        )  # fmt: skip
        return [*self._views.news(), message]

    def _ignores(self, sender: int, nick: str) -> bool:
        """Whether ``sender`` is ignored, under the present name or the one it signed with."""
        if not self._ignored:
            return False  # as nearly always, and every message asks
        member = self._member(sender)
        return (nick if member is None else member.nick) in self._ignored

    def _on_own_posted(self, own: frames.OwnPosted) -> list[events.Event]:
        line, found = self._outbox.placed(own, self.at)
        if line is not None:
            self.encryption.own(own.seq, line.change, line.signature)
        return found

    def _on_joined(self, entry: frames.Joined) -> list[events.Event]:
        member = entry.member
        return self._changed(member.id, lambda: self.encryption.joined(entry.seq, member))

    def _on_left(self, entry: frames.Left) -> list[events.Event]:
        return self._changed(entry.id, lambda: self.encryption.left(entry.seq, entry.id))

    def _on_renamed(self, entry: frames.Renamed) -> list[events.Event]:
        nick = self._own.checked(entry.nick) if entry.id == self.id else entry.nick
        return self._changed(entry.id, lambda: self.encryption.renamed(entry.seq, entry.id, nick))

    def _on_rejoined(self, entry: frames.Rejoined) -> list[events.Event]:
        return self.told(self.encryption.rejoined(entry.seq, entry.id))

    def _changed(self, member: int, change: Callable[[], list[TrustWarning]]) -> list[events.Event]:
        """Somebody comes, goes or is renamed; what cannot be is warned of, and is not shown."""
        before = self._member(member)
        warnings = change()
        after = self._member(member)
        found = self.told(warnings)
        if before is None and after is not None:
            found.append(events.MemberJoined(self.name, after.nick))
        elif before is not None and after is None:
            found.append(events.MemberLeft(self.name, before.nick))
        elif before is not None and after is not None and before.nick != after.nick:
            own = member == self.id
            unasked = own and not self._is_asked(after.nick)
            self._ignored.renamed(before.nick, after.nick)
            found.append(events.MemberRenamed(self.name, before.nick, after.nick, own))
            found += self.told([TrustWarning("renamed", after.nick)] if unasked else [])
        return [*found, self.trust_summary()]


    def _is_asked(self, nick: str) -> bool:
        """Whether it is by one's own wish that one is called so here now."""
        found = self._own.renamed(nick, self._named)
        self._named = self._named if found is None else found
        return found is not None


HANDLERS: dict[type[frames.Frame], Callable[[OpenRoom, Any], list[events.Event]]] = {
    frames.KeyFor: OpenRoom._on_key,
    frames.PrivateFor: OpenRoom._on_private,
    frames.Posted: OpenRoom._on_posted,
    frames.OwnPosted: OpenRoom._on_own_posted,
    frames.Joined: OpenRoom._on_joined,
    frames.Left: OpenRoom._on_left,
    frames.Renamed: OpenRoom._on_renamed,
    frames.Rejoined: OpenRoom._on_rejoined,
}
