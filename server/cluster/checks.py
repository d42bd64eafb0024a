"""Whether an engine is one that people's chat may lie in: looked at before anybody is served.

What is wrong with it is told in one sentence, and the server does not start (exit status 2).
"""

from __future__ import annotations

from i18n import N_, _
from server.cluster import limits
from server.cluster.engine import CannotConnect, Connector, Engine, EngineLost
from server.cluster.resp import Arg, EngineError, Reply
from server.cluster.scripts import commands
from settings import BackendSettings
from transport import CertificateUnusable

FORMAT = b"2"  # of what lies under the prefix; another version that needs another one counts on
_OLDEST_REDIS, _OLDEST_VALKEY = (7, 0), (8,)
_LOOKED_AT = ("save", "appendonly", "maxmemory", "maxmemory-policy", "rdb-del-sync-files")

# Which commands this user may not run in scripts, and whether keys are out of reach.  All are
# given one key, which is text, for all arguments: none of them does anything with that.
_PROBE = """#!lua
local refused, hidden, key = {}, 0, ARGV[1]
local function try(name, ...)
    local words, found = {...}, nil
    for _ = 0, 6 do
        local answer = redis.pcall(name, unpack(words))
        found = type(answer) == 'table' and answer.err or ''
        if not string.find(found, 'umber of arg') then break end
        words[#words + 1] = key
    end
    if string.find(found, 'permissions to run') or string.find(found, 'this command') then
        refused[#refused + 1] = name
    elseif string.find(found, 'access a') then
        hidden = 1
    end
end
try('SET', key, 'text', 'PX', 1000)
for place = 2, #ARGV do try(ARGV[place]) end
try('DEL', key)
return {hidden, refused}"""
# What a node asks for besides, outside of scripts.
_ASKED = {"XREAD", "XRANGE"}

_SENTENCES: dict[str, str] = {
    "in_clear": N_(
        "{backend} is another machine, and would be spoken to in clear: write rediss:// (and name "
        "its certificates with BACKEND_SSL_CA), or set BACKEND_INSECURE=allow if nobody else is on "
        "that network."
    ),
    "name": N_("There is no machine of the name that is in {backend}; check it."),
    "name_later": N_("Nobody says just now what the name in {backend} means; try again later."),
    "refused": N_("Nothing answers at {backend}: start Redis or Valkey there, or check it."),
    "timeout": N_("{backend} does not answer; check the address, and that it runs."),
    "network": N_("There is no way to {backend}; check the address and who may use it."),
    "hung_up": N_(
        "What is at {backend} does not answer as Redis or Valkey do; check the address, or write "
        "rediss:// where it speaks TLS."
    ),
    "self_signed": N_(
        "The certificate of {backend} is its own; name it with BACKEND_SSL_CA."
    ),
    "unknown_ca": N_(
        "The certificate of {backend} comes from an authority that is not known here; name that "
        "one's file with BACKEND_SSL_CA."
    ),
    "wrong_host": N_(
        "The certificate of {backend} is for another name; write the name that is in it."
    ),
    "expired": N_("The certificate of {backend} is not valid today; have it renewed."),
    "ca": N_(
        "The file {path} (BACKEND_SSL_CA) cannot be used: it has to be there, and to hold "
        "certificates in PEM form."
    ),
    "protocol": N_("{backend} speaks no TLS that is understood here; check the address."),
    "password": N_(
        "{backend} did not accept the user name or password; check BACKEND_URL (--backend) and "
        "BACKEND_PASSWORD."
    ),
    "no_password": N_("{backend} wants a password: set BACKEND_PASSWORD_FILE."),
    "open": N_(
        "{backend} lets everybody in, also without the password that is set here: set it there, "
        "too, or here none."
    ),
    "database": N_("{backend} has no database of that number; write another one."),
    "answers": N_(
        "{backend} answers {word}, and cannot be used now; see to it there, and try again."
    ),
    "rights": N_(
        "{backend} does not let this user do what is needed: add {acl} to that user's rights."
    ),
    "old": N_("{backend} is {version}; it has to be Redis 7.0, Valkey 8, or newer."),
    "cluster": N_("{backend} is part of a Redis Cluster; name an engine that is none."),
    "replica": N_("{backend} is a replica, which takes no changes; name the one that it follows."),
    "evicts": N_(
        "{backend} forgets some of what it has when it is full: set maxmemory-policy noeviction "
        "there."
    ),
    "persistence": N_(
        "{backend} writes what it is given to a disk: switch that off there ({off}), or set "
        "BACKEND_PERSISTENCE=allow."
    ),
    "replicated": N_(
        "{backend} has a replica, and both leave a file with all that they have on a disk: set "
        "rdb-del-sync-files yes on both, or BACKEND_PERSISTENCE=allow."
    ),
    "format": N_(
        "Under {prefix} in {backend} is what another version has left: use the same version "
        "everywhere, or another BACKEND_PREFIX."
    ),
    "away": N_(
        "{backend} is away: what people send is handed back to them until it is there again."
    ),
    "back": N_("{backend} is there again."),
    "unbounded": N_(
        "Note: {backend} has no limit for its memory (maxmemory), and when that is full the system "
        "ends it; set one there."
    ),
}
_AS: dict[str, str] = {"not_tls": "protocol", "fingerprint": "unknown_ca"}


class BackendUnusable(Exception):
    """The engine is not to be used; ``reason`` is a stable word, ``sentence`` for the user."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(reason)
        self.reason, self.sentence = reason, sentence


class BackendCheck:
    """One look at an engine."""

    def __init__(self, settings: BackendSettings) -> None:
        self._settings = settings
        self._info: dict[str, str] = {}
        self._config: dict[str, str] = {}

    @property
    def engine(self) -> str:
        """Which engine it is, and its version."""
        valkey = self._info.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {self._info.get('redis_version', '?')}"

    def run(self) -> list[str]:
        """Sentences about what may be so, and should not.  Raises BackendUnusable."""
        address = self._settings.address
        if not (address.tls or address.is_here() or self._settings.allow_insecure):
            raise self._unusable("in_clear")
        with self._connected(self._connector()) as engine:
            self.look(engine)
            self._check_rights(engine)  # first: what is refused later is not told so precisely
            self._check_format(engine)
        if address.password is not None:
            self._check_password_is_needed()
        return [self._sentence("unbounded")] if self._config.get("maxmemory") == "0" else []

    def look(self, engine: Engine) -> None:
        """At what may also change while it runs.  Raises BackendUnusable."""
        self._info = _info(self._ask(engine, "+info", "INFO"))
        self._check_kind()
        found = self._ask(engine, "+config|get", "CONFIG", "GET", *_LOOKED_AT)
        texts = [_text(each) for each in found] if isinstance(found, list) else []
        self._config = dict(zip(texts[::2], texts[1::2], strict=False))
        if self._config.keys() < set(_LOOKED_AT):
            raise self._unusable("rights", acl="+config|get")
        self._check_settings()

    def _connector(self) -> Connector:
        try:
            return Connector(self._settings)
        except CertificateUnusable as error:
            raise self._unusable("ca", path=error.path) from None

    def _connected(self, connector: Connector, login: bool = True) -> Engine:
        try:
            return connector.connect(limits.ENGINE_REPLY_SECONDS, login=login)
        except CannotConnect as error:
            raise self._why_not_connected(error) from None

    def _why_not_connected(self, error: CannotConnect) -> BackendUnusable:
        if error.reason != "engine":
            return self._unusable(_AS.get(error.reason, error.reason))
        if error.word == "NOAUTH":
            return self._unusable("no_password")
        if error.word == "NOPERM":
            return self._unusable("rights", acl="+select")
        if error.word == "WRONGPASS":
            return self._unusable("password")
        if error.command == "SELECT":
            return self._unusable("database")
        # Without the name of a user it says ERR where it asks for no password.
        if self._without_password() == b"PONG":
            return self._unusable("open")
        return self._unusable("answers", word=error.word)

    def _check_kind(self) -> None:
        """Which engine it is, and in what part."""
        redis, valkey = self._info.get("redis_version", ""), self._info.get("valkey_version", "")
        old = _numbers(valkey) < _OLDEST_VALKEY if valkey else _numbers(redis) < _OLDEST_REDIS
        if old:
            raise self._unusable("old", version=self.engine)
        if self._info.get("cluster_enabled", "0") != "0":
            raise self._unusable("cluster")
        if self._info.get("role") != "master":
            raise self._unusable("replica")

    def _check_settings(self) -> None:
        config = self._config
        if config["maxmemory-policy"] != "noeviction":
            raise self._unusable("evicts")
        if self._settings.allow_persistence:
            return
        on = ['save ""'] if config["save"] else []
        on += ["appendonly no"] if config["appendonly"] != "no" else []
        if on:
            raise self._unusable("persistence", off=", ".join(on))
        replicas = self._info.get("connected_slaves", "0")
        if replicas != "0" and config["rdb-del-sync-files"] != "yes":
            raise self._unusable("replicated")

    def _check_format(self, engine: Engine) -> None:
        """Whether what lies under the prefix is ours, as far as there is anything."""
        prefix = self._settings.prefix
        found = self._ask(engine, "+get", "GET", f"{prefix}format")
        if found not in (None, FORMAT):
            raise self._unusable("format", prefix=prefix)

    def _check_rights(self, engine: Engine) -> None:
        """Whether this user may do all that the scripts do."""
        prefix = self._settings.prefix
        tried = sorted((commands() | _ASKED) - {"SET", "DEL"})
        sha = _text(self._ask(engine, "+script|load", "SCRIPT", "LOAD", _PROBE))
        probe = f"{prefix}probe"
        reply = self._ask(engine, "+evalsha", "EVALSHA", sha, 0, probe, *tried)
        hidden, refused = reply
        missing = [f"~{prefix}*"] if hidden else []
        missing += [f"+{_text(name).lower()}" for name in refused]
        if missing:
            raise self._unusable("rights", acl=" ".join(missing))

    def _check_password_is_needed(self) -> None:
        reply = self._without_password()
        if not (isinstance(reply, EngineError) and reply.word == "NOAUTH"):
            raise self._unusable("open")

    def _without_password(self) -> Reply:
        """What it answers to somebody who does not log in."""
        with self._connected(self._connector(), login=False) as engine:
            [reply] = self._run(engine, "PING")
        return reply

    def _ask(self, engine: Engine, acl: str, *command: Arg) -> Reply:
        """What it answers to a command, for which ``acl`` is needed."""
        [reply] = self._run(engine, *command)
        if not isinstance(reply, EngineError) or reply.word in _EXPECTED.get(command[0], ()):
            return reply
        if reply.word == "NOAUTH":
            raise self._unusable("no_password")
        # ERR: whoever runs it has taken that command away.
        if reply.word == "NOPERM" or (reply.word, command[0]) == ("ERR", "CONFIG"):
            raise self._unusable("rights", acl=acl)
        raise self._unusable("answers", word=reply.word)

    def _run(self, engine: Engine, *command: Arg) -> list[Reply]:
        try:
            return engine.run([command], elsewhere=False)
        except EngineLost:
            raise self._unusable("hung_up") from None

    def _unusable(self, reason: str, **params: str) -> BackendUnusable:
        return BackendUnusable(reason, self._sentence(reason, **params))

    def _sentence(self, reason: str, **params: str) -> str:
        return _(_SENTENCES[reason]).format(backend=self._settings.address.shown, **params)


def look_again(engine: Engine, settings: BackendSettings) -> str:
    """A sentence if the engine has become one that is not to be used, else empty; for a node, each
    minute, over a connection that it has.  Raises EngineLost."""
    try:
        BackendCheck(settings).look(engine)
    except BackendUnusable as error:
        if engine.closed:
            raise EngineLost from None
        return error.sentence
    return ""


def told_trouble(trouble: str, settings: BackendSettings) -> str:
    """What is said to whoever runs the server, when the writer has trouble and when it has none."""
    reason = "password" if trouble == "WRONGPASS" else "away" if trouble else "back"
    return _(_SENTENCES[reason]).format(backend=settings.address.shown)


# Errors that are answers.
_EXPECTED: dict[Arg, tuple[str, ...]] = {"GET": ("WRONGTYPE",)}


def _info(reply: Reply) -> dict[str, str]:
    """The lines of INFO, by name."""
    lines = (line.partition(":") for line in _text(reply).splitlines())
    return {name: value for name, colon, value in lines if colon}


def _text(reply: Reply) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
