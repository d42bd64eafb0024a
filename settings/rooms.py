"""The rooms to be in, and the secret of each, which may come from several places."""

from __future__ import annotations

from collections.abc import Iterator

from i18n import _
from protocol.dataclass import replace
from settings.errors import MissingSetting, SettingsError
from settings.sources import Sources, SourceValue, conflict, missing
from settings.table import ROWS
from settings.types import file_path


class ChosenRooms:
    """The rooms that are named, or the default one.

    ``one_room``: the first of them counts, and it is an error if a command line names several.
    The secrets are looked at by room: what a higher source has for one room hides nothing that a
    lower one has for another. Raises ``SettingsError``.
    """

    def __init__(self, sources: Sources, one_room: bool) -> None:
        from protocol.names import room_key

        self._sources = sources
        given, rooms = sources.find("CLIENT_ROOM"), sources.value("CLIENT_ROOM")
        if given is not None and given.is_typed() and one_room and len(rooms) > 1:
            raise given.wrong(_("it must be one room here"))
        self._names: dict[str, str] = {room_key(room): room for room in rooms}  # also without one
        self._first, self._several = room_key(rooms[0]), len(rooms) > 1
        self._elsewhere = {room_key(room) for room in self._outranked()} - set(self._names)
        self.rooms: tuple[str, ...] = rooms[:1] if one_room else rooms
        self.are_named = given is not None
        self._chosen = {key: self._choose(key) for key in map(room_key, self.rooms)}

    def secrets(self) -> dict[str, str]:
        """Secret by room key.

        Raises ``SettingsError``, and ``MissingSetting`` for the first that is to be asked for.
        """
        for given, key in self._asked():
            if key not in self._names:
                raise given.wrong(_("it is none of the rooms to join"))
        chosen = self._chosen.items()
        return {key: self._text(key, given) for key, given in chosen if given is not None}

    def _outranked(self) -> Iterator[str]:
        """Rooms that a lower source names, and may have secrets for: nobody goes there now."""
        for given in self._sources.find_all("CLIENT_ROOM"):
            try:
                yield from given.parse()
            except SettingsError:  # nor does it have to be right
                continue

    def _choose(self, key: str) -> SourceValue | None:
        """What counts for a room: that of the highest source, which must have only one."""
        found = [given for given, room in self._found() if room == key]
        first = min((given.rank for given in found), default=0)
        best = [given for given in found if given.rank == first]
        if len(best) > 1:
            raise conflict(best[0], best[1])
        return best[0] if best else None

    def _found(self) -> Iterator[tuple[SourceValue, str]]:
        """What any source has, and the key of the room that it is for."""
        from protocol.names import room_key

        for key in self._names:
            if given := self._sources.answer(_answer(key), "CLIENT_ROOM_SECRET"):
                yield given, key
        for given in self._sources.find_all("CLIENT_ROOM_SECRET"):
            yield given, self._first
        row = replace(ROWS["CLIENT_ROOM_SECRET_FILE"], type=file_path)
        named = self._names.keys() | self._elsewhere
        for given in self._sources.find_all(row.name):
            for line in filter(str.strip, given.value.split("\n")):
                room, _sign, path = line.partition("=")
                key = room_key(room.strip())
                # Only a room that is named: any other path may have such a sign in it, too.
                if not path.strip() or key not in named:
                    key, path = self._first, line
                yield replace(given, row=row, value=path), key
        yield from self._asked()

    def _asked(self) -> Iterator[tuple[SourceValue, str]]:
        from protocol.names import room_key

        for given in self._sources.find_all("--ask-secret"):
            for room in given.parse():
                yield replace(given, value=room, ask=True), room_key(room)

    def _text(self, key: str, given: SourceValue) -> str:
        if not given.ask:
            return self._sources.text(given)
        if given.row.name != "--ask-secret" and not self._several:
            raise missing(("CLIENT_ROOM_SECRET",))
        room = self._names[key]
        way = _("{flag} on the command line").format(flag=f"--secret-file {room}=PATH")
        sentence = _("A value is missing: set {settings}.").format(settings=way)
        question = _("Secret of the room {room}: ").format(room=room)
        raise MissingSetting(sentence, _answer(key), question, hidden=True)


def _answer(key: str) -> str:
    """The name of the answer that is the secret of the room with this key."""
    return f"--ask-secret {key}"
