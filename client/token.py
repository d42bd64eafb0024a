"""``cmd_chat.py token``: asks the running server for a token, or to revoke one."""

from __future__ import annotations

from typing import Any

from client import wording
from client.app import EXIT_LEFT, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, tls_context, unusable
from client.console import output
from i18n import _
from protocol.errors import Malformed
from protocol.frames import parse
from settings import TokenSettings
from transport import CertificateUnusable, Unreachable
from transport.addresses import in_url
from transport.forms import post_form


def run(settings: TokenSettings) -> int:
    """Print the token alone on standard output, or revoke one; the exit status."""
    try:
        status, body = _ask(settings)
    except CertificateUnusable as error:
        return _fail(EXIT_USAGE, unusable(error))
    except Unreachable as error:
        where = f"{in_url(settings.server)}:{settings.port}"
        return _fail(EXIT_UNREACHABLE, wording.unreachable(error.reason, where))
    answer = _read(body)
    if status != 200:
        return _fail(EXIT_REFUSED, _refusal(answer.get("error")))
    if settings.revoke is not None:
        return _on_revoked(answer)
    token = answer.get("token")
    if not isinstance(token, str):
        return _fail(EXIT_REFUSED, _refusal(None))
    print(token)
    return EXIT_LEFT


def _ask(settings: TokenSettings) -> tuple[int, bytes]:
    fields = {"admin_password": settings.password}
    if settings.revoke is not None:
        path = "/revoke_token"
        fields["token"] = settings.revoke
    else:
        path = "/generate_token"
        fields |= {"username": settings.username or "", "ttl": str(settings.ttl)}
    context = tls_context(settings)
    return post_form(settings.server, settings.port, path, fields, tls=context)


def _on_revoked(answer: dict[str, Any]) -> int:
    if answer.get("revoked") is not True:
        return _fail(EXIT_REFUSED, _("There is no such token: it may have ended by itself."))
    output.say(_("The token is revoked."))
    return EXIT_LEFT


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
        "bad_nick": _("That is not a valid nickname: use letters, digits and ._- (at most 32)."),
        "too_many_attempts": _("Too many wrong passwords: wait a little and try again."),
        "server_full": _("The server has no room for another token: revoke one first."),
    }
    general = _("The server did not answer as expected: check the address and the versions.")
    return sentences.get(str(code), general)


def _fail(status: int, sentence: str) -> int:
    output.say(sentence)
    return status
