"""``cmd_chat.py status``: whether a server is reached and how, and what this machine can show.

It goes as far as the server's greeting, in which nothing of anybody is: nobody joins, and nothing
counts as a failed proof.  Only where a login is asked for does it go in, and leaves at once.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509

import i18n
from client import messages, refusals
from client.background import StartupKeys
from client.connection.addresses import AddressRing
from client.connection.handshake import ATTEMPT_SECONDS, ClientHandshake, PendingLogin
from client.connection.outcome import outcome_of
from client.console import is_dumb
from client.destination import dial, ending, tls_context, unreached, unusable
from client.input.terminal import Size, size_of
from client.opening import opened_identity
from client.output import streams
from client.output.charset import Charset, is_utf8, terminal_encoding
from client.output.colours import colours
from i18n import N_, _
from protocol import frames, limits
from protocol.dataclass import dataclass, field, replace
from protocol.errors import ChatError, Unexpected
from protocol.hosts import host_and_port, is_loopback
from protocol.safe_text import visible
from settings import ClientSettings, StatusSettings, environment
from settings.exit_status import ExitStatus
from transport import CertificateUnusable, Closed, Unreachable
from transport.client_websocket import ClientWebSocket, Way

SOON_DAYS = 14  # a certificate that ends within them is worth a word
PING_SECONDS = 5.0
LEAST_COLUMNS, LEAST_ROWS = 40, 10
_CLOCK = N_(
    "That is not in the time of the certificate: set the clock right, or let whoever runs the "
    "server renew it."
)
_OF_DATES = ("expired",)
# Into which nobody gets. A server finds that out last of all, and binds a token only to somebody
# whom it lets in.
_NO_ROOM = ""


Line = tuple[str, str, str]  # a title, what was found, and what to do about it, or nothing


@dataclass
class Report:
    """What was found: ``facts`` for programs, ``lines`` for people, and the exit status."""

    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    status: int = ExitStatus.LEFT

    def add(self, title: str, text: str, advice: str = "") -> None:
        """Something found."""
        self.lines.append((title, text, advice))

    def fail(self, status: int, title: str, code: str, sentence: str) -> None:
        """Something that does not work; the first of these decides the exit status."""
        self.status = self.status or status
        self.facts.setdefault("error", code)
        self.lines.append((title, sentence, ""))


def run(settings: StatusSettings) -> int:
    """Look, and print what was found; the exit status, as ``connect`` would have it.

    Raises Unwritable, and BrokenPipeError where the reader has gone.
    """
    streams.check()
    report = Report()
    _look_at_all(report, settings)
    if settings.login is not None and not report.status:
        _log_in(report, settings.login)
    _look_around(report, environment())
    if settings.json:
        streams.write(json.dumps(report.facts) + "\n")
    else:
        charset = Charset(terminal_encoding(environment(), sys.stdout.encoding))
        streams.write(charset.shown("".join(_printed(report.lines))))
    return report.status


def _printed(lines: list[Line]) -> Iterator[str]:
    for title, text, advice in lines:
        yield visible(f"{title}: {text}") + "\n"
        if advice:
            yield visible(f"  → {advice}") + "\n"


# The server


def _look_at_all(report: Report, settings: StatusSettings) -> None:
    """At each of the server's addresses; what is said of all is what is true of the first that
    answers, since a client would take that one."""
    if not settings.others:
        _look_at_server(report, settings)
        return
    looks = [Report() for _address in settings.addresses]
    threads = []
    for look, (host, port) in zip(looks, settings.addresses, strict=True):
        # At once: one that is silent is waited for as long as one may be.
        work = look, replace(settings, server=host, port=port, others=())
        thread = threading.Thread(target=_look_at_server, args=work, name="look", daemon=True)
        threads.append(thread)
        thread.start()
    for look, thread in zip(looks, threads, strict=True):
        thread.join()
        report.lines += look.lines
    best = min(looks, key=lambda look: look.status != ExitStatus.LEFT)
    report.facts |= best.facts | {"addresses": [look.facts for look in looks]}
    report.status = best.status


def _look_at_server(report: Report, settings: StatusSettings) -> None:
    where = host_and_port(settings.server, settings.port)
    proxy = None if settings.proxy is None else settings.proxy.server
    report.facts |= {"server": where, "reached": False, "proxy": proxy}
    title = _("Server")
    try:
        peer = dial(settings, tls_context(settings))
    except CertificateUnusable as error:
        report.fail(ExitStatus.USAGE, title, "certificate_unusable", unusable(error))
        return
    except Unreachable as error:
        status, sentence = unreached(error.reason, error.details(), settings)
        report.fail(status, title, error.reason, sentence)
        if error.reason in _OF_DATES:
            report.add(_("Clock"), _now().strftime("%Y-%m-%d %H:%M UTC"), _(_CLOCK))
        return
    try:
        _ask(report, peer, settings, where)
    except (ChatError, OSError):
        report.fail(ExitStatus.LOST, title, "lost", messages.disconnected("lost"))
    finally:
        peer.finish(0.0)


def _ask(report: Report, peer: ClientWebSocket, settings: StatusSettings, where: str) -> None:
    """What a server that answers is.  Raises ChatError, OSError."""
    greeting = peer.receive(ATTEMPT_SECONDS)
    if greeting is None:
        raise Closed
    frame = frames.decode_clear(greeting) if isinstance(greeting, str) else None
    if isinstance(frame, frames.Refused):
        sentence = messages.refusal(frame.code, refusals.params(frame))
        report.fail(ExitStatus.REFUSED, _("Server"), frame.code, sentence)
        return
    if not isinstance(frame, frames.Greeting):
        raise Unexpected
    version = frame.version
    way = peer.way()
    text = _("{server} answers, over {family}.")
    if settings.proxy is not None:
        text = _("{server} answers, through the proxy {proxy} (over {family}).")
    proxy = report.facts["proxy"]
    report.add(_("Server"), text.format(server=where, family=way.family, proxy=proxy))
    report.facts |= {"reached": True, "family": way.family.lower(), "protocol": version}
    _describe_tls(report, way, settings)
    if version == limits.VERSION:
        report.add(_("Protocol"), _("version {version}").format(version=version))
    else:
        sentence = messages.refusal("bad_version")
        report.fail(ExitStatus.REFUSED, _("Protocol"), "bad_version", sentence)
    seconds = peer.round_trip(PING_SECONDS)
    report.facts["round_trip"] = seconds
    if seconds is None:
        report.add(_("Round trip"), _("no answer to a ping within {seconds:.0f} seconds").format(
            seconds=PING_SECONDS))
    else:
        report.add(_("Round trip"), _("{count:.1f} ms").format(count=1000 * seconds))


def _describe_tls(report: Report, way: Way, settings: StatusSettings) -> None:
    if not way.tls:
        report.facts["tls"] = None
        advice = ""
        if not is_loopback(settings.server):
            advice = _("Whoever is in between sees who is there and when: use --ssl if the server "
                       "has it. Messages are encrypted anyway.")
        report.add("TLS", _("none"), advice)
        return
    certificate = x509.load_der_x509_certificate(way.certificate)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    report.facts["tls"] = {
        "version": way.tls,
        "fingerprint": hashlib.sha256(way.certificate).hexdigest(),
        "not_before": begins.isoformat(),
        "not_after": ends.isoformat(),
    }
    text = _("{version}, with a certificate from {begins} to {ends}")
    days = {"begins": begins.strftime("%Y-%m-%d"), "ends": ends.strftime("%Y-%m-%d")}
    advice = ""
    if not begins <= _now() <= ends:  # of a pinned one, no dates are checked
        advice = _(_CLOCK)
    elif ends - _now() < timedelta(days=SOON_DAYS):
        advice = _("It ends soon: whoever runs the server should renew it.")
    report.add("TLS", text.format(version=way.tls, **days), advice)


def _now() -> datetime:
    return datetime.now(timezone.utc)


# Going in


def _log_in(report: Report, settings: ClientSettings) -> None:
    """Go into the room, and leave it at once."""
    keys = StartupKeys(settings)
    with opened_identity(settings, keys) as problem:
        if problem:
            report.fail(problem[0], _("Identity"), "identity", problem[1])
        else:
            _log_in_with(report, settings, keys)


def _log_in_with(report: Report, settings: ClientSettings, keys: StartupKeys) -> None:
    addresses = AddressRing(settings.addresses)
    handshake = ClientHandshake(
        lambda opened: dial(settings, tls_context(settings), opened, addresses.candidates()),
        keys.identity(), keys.credentials, keys.link_keys,
        ticket=lambda: None, leaving=threading.Event(), clock=time.monotonic,
        on_slow=lambda: None,
    )  # fmt: skip
    title = _("Login")
    only_shown = settings.token is not None and settings.identity is None
    room = _NO_ROOM if only_shown else settings.room

    def attempt() -> str:
        pending = handshake.begin(lambda _stream: None, dialled=addresses.dialled)
        return _go_in(pending, settings.username or "", room)

    try:
        nick = addresses.round(attempt, lambda: True)
    except ChatError as error:
        if outcome := outcome_of(error, first=True, proven=False):
            if only_shown and outcome.reason == "bad_room":
                _on_shown(report, title)
                return
            status, sentence = ending(outcome, settings)
            # Whose place has been taken is refused here all the same.
            report.fail(status or ExitStatus.REFUSED, title, outcome.reason, sentence)
        return
    report.facts |= {"accepted": True, "nick": nick}
    text = _("accepted, as {nick} in {room}")
    report.add(title, text.format(nick=nick, room=settings.room))


def _on_shown(report: Report, title: str) -> None:
    """A token was accepted, and nobody went in."""
    report.facts["accepted"] = True
    report.add(title, _("the token is accepted; nobody went in"), _(
        "A token that is to be bound would have been lost to keys that end with this program: "
        "--identity names an identity that lasts."
    ))


def _go_in(pending: PendingLogin, nick: str, room: str) -> str:
    """The nickname that the server gives.  Raises AdmissionRefused, ChatError."""
    try:
        confirm = pending.confirm(nick, [frames.Stay(room)])
        welcome, _rest = pending.welcome(pending.prove(confirm))
        # Or the nickname would be kept for a connection that may come back.
        pending.peer.send(pending.link.seal([frames.Bye("quit").encode()]))
        pending.peer.finish(time.monotonic() + PING_SECONDS)
        return welcome.nick
    except BaseException:
        pending.drop()
        raise


# This machine


def _look_around(report: Report, environ: Mapping[str, str]) -> None:
    both = streams.is_terminal(sys.stdin) and streams.is_terminal(sys.stdout)
    encoding = terminal_encoding(environ, sys.stdout.encoding if both else "utf-8")
    size = size_of(sys.stdout) if both else None
    report.facts["terminal"] = {
        "name": environ.get("TERM"),
        "columns": size and size.columns,
        "rows": size and size.rows,
        "colours": colours(environ),
        "encoding": encoding,
    }
    report.facts["language"] = i18n.current()
    _describe_terminal(report, environ, size)
    if not is_utf8(encoding):
        report.add(_("Characters"), encoding, _(
            "Letters beyond it are shown as question marks: set LC_ALL to a UTF-8 locale, such as "
            "C.UTF-8."
        ))
    report.add(_("Language"), i18n.current())


def _describe_terminal(report: Report, environ: Mapping[str, str], size: Size | None) -> None:
    title = _("Terminal")
    if size is None:
        report.add(title, _("none here: events are plain lines, and --renderer json is for "
                            "programs"))
        return
    term = environ.get("TERM", "")
    text = _("{name}, {columns} columns, {rows} rows, {colours} colours").format(
        name=term or "-", columns=size.columns, rows=size.rows, colours=colours(environ)
    )
    advice = ""
    if is_dumb(sys.stdout, environ):
        advice = _("It takes no escape sequences, so the chat goes on plainly: set TERM if that "
                   "is not so.")
    elif size.columns < LEAST_COLUMNS or size.rows < LEAST_ROWS:
        advice = _("That is little: the full view wants 40 columns and 10 rows.")
    report.add(title, text, advice)
