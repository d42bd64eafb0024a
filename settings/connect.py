"""What ``connect`` needs; and how any subcommand reaches a server: address, TLS, proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from i18n import _
from protocol.dataclass import dataclass, field
from protocol.hosts import Address
from settings.errors import SettingsError
from settings.proxies import Proxy, chosen_proxy
from settings.rooms import ChosenRooms
from settings.servers import entry_hint
from settings.sources import Sources, SourceValue, conflict, missing
from settings.table import (
    CREDENTIALS,
    HISTORY_PASSPHRASES,
    IDENTITY_PASSPHRASES,
    IN_INVITE,
    INVITES,
    ROWS,
)
from settings.types import host, room_name

_WAY = ("CLIENT_PATH", "CLIENT_USE_SSL", "CLIENT_SSL_CA", "CLIENT_SSL_FINGERPRINT",
        "CLIENT_TLS_NAME")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A server and the way to it; None where nothing is set.

    ``server`` and ``port`` are of its first address, which names the chat: what is kept of it is
    kept under that one. ``ssl_fingerprint`` is 64 lower-case hex digits. ``use_ssl`` is already
    true where a fingerprint, a CA file or an invite link implies it.
    """

    server: str
    port: int
    path: str = ""  # a slash before each part, none at the end
    use_ssl: bool
    ssl_ca: str | None
    ssl_fingerprint: str | None
    tls_name: str | None = None  # what TLS asks for, where that is not ``server``
    proxy: Proxy | None = None
    language: str
    others: tuple[Address, ...] = ()  # further addresses of the same chat

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All of them, as they were written."""
        return (self.server, self.port), *self.others


@dataclass(frozen=True, kw_only=True)
class ClientSettings(Destination):
    """What ``connect`` needs. Times in seconds; None where nothing is set.

    Exactly one of ``password`` and ``token`` is set. ``username`` is None only with a token.
    ``history_passphrase`` and ``identity_passphrase`` are None where nothing sets them, or nothing
    needs them.
    """

    username: str | None
    password: str | None = field(repr=False)
    token: str | None = field(repr=False)
    rooms: tuple[str, ...]  # in the order in which they were named; one at least, no two the same
    rooms_named: bool  # whether anything named one
    room_secrets: Mapping[str, str] = field(repr=False)  # by room key
    render_time: float
    messages_to_show: int
    listen: bool
    bell: bool
    spoken: bool
    type_ahead: bool
    mouse: bool
    history: bool
    history_passphrase: str | None = field(repr=False)
    history_days: int
    history_max: int
    history_from: str = ""  # the file that asked for the history, if one did
    reconnect: bool
    wait: bool
    renderer: str  # rich, minimal, json
    input_form: str = "lines"  # or text, json
    heartbeat: float | None = None  # None: as the server wants them
    identity: str | None = None  # its file; None: keys that end with the program
    identity_passphrase: str | None = field(default=None, repr=False)
    on_message: tuple[str, ...] | None = field(default=None, repr=False)  # a program, its arguments
    on_bots: bool = False

    @property
    def room(self) -> str:
        """The first of the rooms."""
        return self.rooms[0]

    def secret_of(self, room: str) -> str | None:
        """The secret of one of the rooms, None where it has none."""
        from protocol.names import room_key

        return self.room_secrets.get(room_key(room))


def client_settings(sources: Sources, one_room: bool = False) -> ClientSettings:
    """The settings of ``connect``; ``one_room``: of what is for one room, or the first of several.

    Raises ``SettingsError``, and ``MissingSetting`` for the first that only the user can tell.
    """
    sources.look_up_server()
    where = _fields(addresses(sources))
    values = sources.plain("client") | where
    # A conflict is an error before anybody is asked for anything.
    chosen = ChosenRooms(sources, one_room)
    credential, invite = map(sources.choose, (CREDENTIALS, INVITES))
    if invite is not None:
        values |= _from_invite(sources, invite, credential)
    else:
        values |= {"rooms": chosen.rooms, "rooms_named": chosen.are_named}
        values["room_secrets"] = chosen.secrets()
    _add_way(sources, values)
    by_link = "token" in values  # which fixes no nickname, as others do
    has_nick = credential and credential.row.name == "CLIENT_TOKEN" and not by_link
    if values["username"] is None and not has_nick:
        raise missing(("CLIENT_USERNAME",))
    if not by_link:
        values |= sources.secret(CREDENTIALS, required=True)
    values["history_passphrase"] = None
    if values["history"]:
        values |= sources.secret(HISTORY_PASSPHRASES)
    values["identity_passphrase"] = None
    if values["identity"]:
        values |= sources.secret(IDENTITY_PASSPHRASES)
    return ClientSettings(**values | _program(sources, values["listen"]))


def _program(sources: Sources, listen: bool) -> dict[str, Any]:
    """What is run for each message.  Only whoever types a command line may say that: a file that is
    found somewhere would have it run whatever it names."""
    on_message, on_bots = sources.typed("--on-message"), bool(sources.typed("--on-bots"))
    if on_bots and on_message is None:
        raise SettingsError(_("--on-bots is about --on-message: give both, or neither."))
    listen = listen or on_message is not None
    return {"on_message": on_message, "on_bots": on_bots, "listen": listen}


def addresses(sources: Sources) -> tuple[tuple[Any, int], ...]:
    """The server's, which may have their ports in the same word; the host is None where nothing
    names one.  Raises ``SettingsError``."""
    server, other = sources.find("CLIENT_SERVER"), sources.find("CLIENT_PORT")
    found = server.parse() if server else ((None, None),)
    host, port = found[0]
    if server is None or port is None:
        return ((host, _port(sources, host)),)
    if other is None or other.rank > server.rank:
        return tuple(found)
    if len(found) == 1 and other.parse() == port:
        return tuple(found)
    if len(found) > 1 or other.rank == server.rank:
        raise conflict(server, other)
    return ((host, other.parse()),)


def _fields(found: Sequence[tuple[Any, int]]) -> dict[str, Any]:
    """Those of ``Destination``."""
    (host, port), *others = found
    return {"server": host, "port": port, "others": tuple(others)}


def _port(sources: Sources, host: Any) -> int:
    """Raises ``SettingsError``; ``connect wrok bob`` may mean an entry that has the port."""
    try:
        port: int = sources.value("CLIENT_PORT")
    except SettingsError as error:
        more = "" if sources.entry or host is None else entry_hint(host, sources.environ)
        raise SettingsError(f"{error}{more}") from None
    return port


def destination(
    sources: Sources, found: Sequence[tuple[Any, int]], path: str | None = None
) -> dict[str, Any]:
    """The fields of ``Destination`` for a server with these ``addresses``; a ``path`` goes before
    that of the settings.

    Raises ``SettingsError``, and ``MissingSetting`` where the host is None.
    """
    values = sources.values(_WAY) | _fields(found) | {"language": sources.language()}
    if path is not None:
        values["path"] = path
    _add_way(sources, values)
    return values


def _add_way(sources: Sources, values: dict[str, Any]) -> None:
    """Whether TLS is used, and through which proxy, to the server that ``values`` names."""
    # Whoever names a certificate does not mean to connect in clear.
    if values["ssl_fingerprint"] or values["ssl_ca"] or values["tls_name"]:
        values["use_ssl"] = True
    if not values["use_ssl"]:
        sources.check_withheld("CLIENT_USE_SSL")
    if not values["ssl_fingerprint"]:  # the one certificate: nothing is stricter
        sources.check_withheld("CLIENT_SSL_FINGERPRINT", "CLIENT_SSL_CA")
    if values["server"] is None:
        raise missing(("CLIENT_SERVER",))
    found = (values["server"], values["port"]), *values["others"]
    values["proxy"] = chosen_proxy(sources, found, values["use_ssl"])
    sources.dials = () if values["proxy"] else found  # names are a proxy's to look up


def _from_invite(
    sources: Sources, given: SourceValue, credential: SourceValue | None
) -> dict[str, Any]:
    """What the link says; it goes before what sources of lower priority say.

    ``credential`` is the password or token that they say; a link may have a token of its own.
    """
    for name in IN_INVITE:
        other = sources.find(name)
        if other is not None and other.rank <= given.rank:
            raise conflict(given, other)
    from protocol.errors import ChatError
    from protocol.invite import parse_invite
    from protocol.names import room_key

    link = sources.secret(INVITES)["invite"]
    sources.pass_over(IN_INVITE)
    try:
        invite = parse_invite(link)
        values: dict[str, Any] = {
            **_fields([(host(name), port) for name, port in invite.addresses]),
            "path": ROWS["CLIENT_PATH"].type(invite.path),
            "rooms": (room := room_name(invite.room or ROWS["CLIENT_ROOM"].default),),
            "rooms_named": invite.room is not None,
            "room_secrets": {room_key(room): invite.secret} if invite.secret else {},
        }
    except ChatError:
        why = _("an invite link looks like cmdchat://host:port/room#secret")
        raise given.wrong(why) from None
    except ValueError as error:
        raise given.wrong(str(error)) from None
    if invite.tls:
        values["use_ssl"] = True
    if invite.token:
        if credential is not None and credential.rank <= given.rank:
            raise conflict(given, credential)
        values |= {"token": invite.token, "password": None}
        sources.pass_over(CREDENTIALS)
    pinned = sources.find("CLIENT_SSL_FINGERPRINT")
    if invite.fingerprint and (pinned is None or pinned.rank > given.rank):
        values["ssl_fingerprint"] = invite.fingerprint
        sources.pass_over(("CLIENT_SSL_FINGERPRINT",))
    return values
