"""``cmd_chat.py token``: asks the running server for a token, for a list, or to revoke one."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from client.connection.addresses import AddressRing
from client.destination import tls_context, unreached, unusable
from client.output import streams
from i18n import _
from protocol.codec import parse
from protocol.dataclass import replace
from protocol.errors import Malformed
from protocol.safe_text import visible
from settings import TokenSettings
from settings.exit_status import ExitStatus
from transport import CertificateUnusable, Unreachable
from transport.http_client import post_form

_LONGEST = 10 * 2_592_000  # seconds; more than any token lives
_NAMES = ("id", "username")


def run(settings: TokenSettings) -> int:
    """Print the token alone on standard output, or those that live, or revoke one; exit status.

    Raises Unwritable, and BrokenPipeError where the reader has gone.
    """
    if settings.revoke is None:
        streams.check()
    try:
        status, body = _ask(settings)
    except CertificateUnusable as error:
        return _fail(ExitStatus.USAGE, unusable(error))
    except Unreachable as error:
        return _fail(*unreached(error.reason, error.details(), settings))
    answer = _read(body)
    if status != 200:
        return _fail(ExitStatus.REFUSED, _refusal(answer.get("error")))
    if settings.listing:
        return _on_listed(answer.get("tokens"))
    if settings.revoke is not None:
        return _on_revoked(answer)
    token = answer.get("token")
    if not isinstance(token, str):
        return _fail(ExitStatus.REFUSED, _refusal(None))
    return _print(token, settings)


def _print(token: str, settings: TokenSettings) -> int:
    """The token alone on standard output.  One that nobody has seen is not left to live."""
    try:
        streams.write(token + "\n")
        streams.flush()
    except (streams.Unwritable, BrokenPipeError):
        with contextlib.suppress(Unreachable):
            _ask(replace(settings, username=None, revoke=token))
        raise
    return ExitStatus.LEFT


def _ask(settings: TokenSettings) -> tuple[int, bytes]:
    fields = {"admin_password": settings.password}
    if settings.listing:
        path = "/list_tokens"
    elif settings.revoke is not None:
        path = "/revoke_token"
        fields["token"] = settings.revoke
    else:
        path = "/generate_token"
        fields |= {"username": settings.username or "", "ttl": str(settings.ttl)}
        if settings.bind:
            fields["bind"] = "true"
    return post_form(
        AddressRing(settings.addresses).candidates(),
        settings.path + path,
        fields,
        tls=tls_context(settings),
        server_hostname=settings.tls_name,
        proxy=settings.proxy,
    )


def _on_listed(tokens: object) -> int:
    """One token a line on standard output, the next to end first."""
    if not isinstance(tokens, list):
        return _fail(ExitStatus.REFUSED, _refusal(None))
    lines = [_line(token) for token in tokens]
    if not lines:
        streams.say(_("There are no live tokens."))
    for line in lines:
        streams.write(line + "\n")
    return ExitStatus.LEFT


def _line(token: object) -> str:
    """Id, when it expires by this machine's clock, and nickname, whatever a server may send."""
    found = token if isinstance(token, dict) else {}
    left = found.get("expires_in")
    ends = "?"
    if type(left) is int and 0 < left < _LONGEST:
        ends = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + left))
    inviter = found.get("invited_by")
    if found.get("username") is None and isinstance(inviter, str):
        found = {**found, "username": _("(invited by {nick})").format(nick=inviter)}
    named = (visible(str(found.get(key, "?"))[:64]).replace("\n", " ") for key in _NAMES)
    words = {True: [_("bound")], False: [_("to be bound")]}
    bound = found.get("bound")
    bound = words[bound] if isinstance(bound, bool) else []
    return "  ".join([next(named), ends, next(named), *bound])


def _on_revoked(answer: dict[str, Any]) -> int:
    if answer.get("revoked") is not True:
        return _fail(ExitStatus.REFUSED, _("There is no such token: it may have ended by itself."))
    streams.say(_("The token is revoked."))
    return ExitStatus.LEFT


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = parse(body)
    except Malformed:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refusal(code: object) -> str:
    sentences = {
        "auth_failed": _("The admin password is wrong: check it and try again."),
        "insecure": _(
            "The server gives out tokens over TLS or on its own machine only: use --ssl, or run "
            "this command there."
        ),
        "proxied": _(
            "The server gives out no tokens through its proxy: run this command on its own "
            "machine, at the address that TOKEN_FORMS names there."
        ),
        "not_found": _(
            "No tokens are given out at this address: check --path, and TOKEN_FORMS of the server."
        ),
        "bad_nick": _("That is not a valid nickname: use letters, digits and ._- (at most 32)."),
        "too_many_attempts": _("Too many wrong passwords: wait a little and try again."),
        "server_full": _("The server has no room for another token: revoke one first."),
        "unavailable": _("The server cannot do that just now: wait a little and try again."),
    }
    general = _("The server did not answer as expected: check the address and the versions.")
    return sentences.get(str(code), general)


def _fail(status: int, sentence: str) -> int:
    streams.say(sentence)
    return status
