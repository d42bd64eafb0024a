"""The HTTP face: the upgrade to the chat, tokens, and a sign of life.

Every answer is a fixed text for a code, never built from what came in.  Nothing is logged, no
software is named.  Each request is alone on its connection and has a few seconds in all.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from protocol.codec import parse
from protocol.errors import BadNick, Malformed, OutcomeUnknown, ServerFull, Unavailable
from protocol.names import check_nick
from server import limits
from server.auth import Password, Tokens
from server.client_address import FORWARDING, ClientAddress, TrustedProxies, is_loopback
from server.throttle import FormThrottle
from transport import BadUpgrade
from transport.server_websocket import accept, named
from transport.stream import Stream
from transport.websocket import WebSocket

TTL_DEFAULT, TTL_MOST = 3600, 2_592_000

# code: (status, the sentence)
ANSWERS: dict[str, tuple[HTTPStatus, str]] = {
    "bad_request": (HTTPStatus.BAD_REQUEST, "The request cannot be understood."),
    "bad_fields": (HTTPStatus.BAD_REQUEST, "A field is missing or has a wrong value."),
    "bad_nick": (HTTPStatus.BAD_REQUEST, "The user name is not a valid nickname."),
    "auth_failed": (HTTPStatus.UNAUTHORIZED, "The admin password is wrong."),
    "insecure": (
        HTTPStatus.FORBIDDEN,
        "Tokens are handed out over TLS or on the server's own machine only.",
    ),
    "proxied": (HTTPStatus.FORBIDDEN, "Tokens are not handed out through a proxy here."),
    "not_found": (HTTPStatus.NOT_FOUND, "There is nothing at this address."),
    "bad_method": (HTTPStatus.METHOD_NOT_ALLOWED, "This method is not for this address."),
    "timed_out": (HTTPStatus.REQUEST_TIMEOUT, "The request took too long."),
    "too_big": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large."),
    "too_many_attempts": (
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many failed attempts: wait before the next.",
    ),
    "internal": (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong."),
    "server_full": (HTTPStatus.SERVICE_UNAVAILABLE, "The server is full."),
    "unavailable": (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "What several servers share is out of reach: try again in a moment.",
    ),
}
_CODE_OF_STATUS = {
    404: "not_found",
    405: "bad_method",
    408: "timed_out",
    413: "too_big",
    414: "too_big",
    431: "too_big",
    501: "bad_method",
}
ABOUT = (
    "This is a CMD CHAT server: an end-to-end encrypted chat for the terminal.\n"
    "Connect with: python cmd_chat.py connect SERVER PORT USERNAME\n"
)


def no_place() -> bytes:
    """The whole answer to whom there is no place for, whatever the request would have been."""
    status, sentence = ANSWERS["server_full"]
    body = json.dumps({"error": "server_full", "message": sentence}).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True)
class HttpFace:
    """What the routes need of the server, and which of them there are.

    ``root`` is the path that all of them are below, "" for none.  ``chat``: the upgrade is taken
    here; ``forms``: the forms are; ``proxied``: through trusted ``proxies``, too.
    """

    password: Password
    tokens: Tokens
    guesses: FormThrottle
    on_revoked: Callable[[str], None]
    schedule: Callable[[float], None]
    tls: bool
    proxies: TrustedProxies = TrustedProxies()
    root: str = ""
    chat: bool = True
    forms: bool = True
    proxied: bool = False


class _HeaderLines:
    """``rfile`` with a bound on what request line and headers take together."""

    def __init__(self, lines: Any, most: int) -> None:
        self._lines, self._left = lines, most

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._lines.readline(min(size, self._left + 1) if size >= 0 else self._left)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("header")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lines, name)


class Handler(BaseHTTPRequestHandler):
    """One request on one connection.

    ``chat`` serves an upgraded connection to its end; ``move`` hears of a client whom a trusted
    proxy names in the request, and says whether there is a place for it.
    """

    rbufsize = 0  # a buffer would swallow a first frame that comes with the upgrade
    protocol_version = "HTTP/1.1"
    connection: Stream

    def __init__(
        self,
        stream: Stream,
        client: ClientAddress,
        face: HttpFace,
        chat: Callable[[WebSocket], None],
        move: Callable[[ClientAddress], bool] = lambda _: True,
    ) -> None:
        self._face, self._client, self._chat, self._move = face, client, chat, move
        self.command = ""  # until there is one
        super().__init__(stream, (client.peer, 0), None)  # type: ignore[arg-type]  # a Stream will do

    def setup(self) -> None:
        """Give the whole request, byte for byte, one deadline."""
        super().setup()
        self.connection.set_deadline(time.monotonic() + limits.REQUEST_SECONDS)
        self.rfile = _HeaderLines(self.rfile, limits.HEADER_BYTES)  # type: ignore[assignment]

    def handle(self) -> None:
        """One request; whatever a client does, nothing is raised and nothing printed."""
        self.close_connection = True
        try:
            self.handle_one_request()
        except http.client.LineTooLong:
            self._answer("too_big")
        except OSError:
            pass  # cut, or too slow to be told

    def parse_request(self) -> bool:
        """Read the headers; from here on it is known whom a trusted proxy speaks for."""
        if not super().parse_request():
            return False
        named = self.headers.get_all("X-Forwarded-For", [])
        client = self._face.proxies.forwarded(self._client, named)
        if client != self._client:
            self._client = client
            if not self._move(client):
                self._answer("server_full")
                return False
        return True

    def do_GET(self) -> None:  # noqa: N802  # http.server's name
        """The upgrade, and the pages."""
        path, upgrade = self._path(), ",".join(self.headers.get_all("Upgrade", []))
        if not self._is_there(path):
            self._answer("not_found")
        elif path == "/" and named("websocket", upgrade):
            self._upgrade()
        elif path == "/":
            self._respond(HTTPStatus.OK, "text/plain; charset=utf-8", ABOUT.encode())
        elif path == "/health":
            self._respond_json(HTTPStatus.OK, {"status": "ok"})
        else:
            self._answer("bad_method")

    def do_POST(self) -> None:  # noqa: N802
        """The forms."""
        path = self._path()
        if path not in _FORMS or not self._is_there(path):
            self._answer("bad_method" if self._is_there(path) else "not_found")
            return
        try:
            fields = self._form()
            if fields is not None:
                _FORMS[path](self, fields)
        except BadNick:
            self._answer("bad_nick")
        except Malformed:
            self._answer("bad_fields")
        except ServerFull:
            self._answer("server_full")
        except (Unavailable, OutcomeUnknown) as error:
            wait = math.ceil(float(error.params.get("retry_after", 1.0)))
            self._answer("unavailable", {"Retry-After": str(wait)})
        except OSError:
            raise
        except Exception:
            self._answer("internal")
            raise

    def _is_there(self, path: str) -> bool:
        if path in _FORMS:
            return self._face.forms
        return path == "/health" or (path == "/" and self._face.chat)

    def _path(self) -> str:
        """The path below the root that all are below; "" for one that is not."""
        path = self.path.partition("?")[0]
        if path.lower().startswith("http://"):  # as to a proxy, which every server takes (RFC 9112)
            path = "/" + path.split("/", 3)[3] if path.count("/") > 2 else "/"
        root = self._face.root
        if path == root:
            return "/"
        return path[len(root) :] if path.startswith(root + "/") else ""

    def _upgrade(self) -> None:
        # Browsers name the page, and hold none back from opening a WebSocket to another host.
        if "Origin" in self.headers:
            self._answer("insecure")
            return
        try:
            if self.request_version != "HTTP/1.1" or len(self.headers.get_all("Host", [])) != 1:
                raise BadUpgrade
            peer = accept(
                self.connection,
                self.headers.items(),
                max_message_size=limits.STRANGER_BYTES,
                hold=True,  # the server speaks first
            )
        except BadUpgrade:
            self._answer("bad_request", {"Sec-WebSocket-Version": "13"})  # RFC 6455 4.2.2
            return
        self._chat(peer)

    # Forms

    def _form(self) -> dict[str, Any] | None:
        """The fields, after the password was proven; None if that was answered already."""
        # Browsers name the page that sends a form, and no page is ours: without this, any page
        # that somebody on this machine looks at could have passwords tried from here.
        if self._is_in_clear() or "Origin" in self.headers:
            self._answer("insecure")
            return None
        if self._client.behind and not self._face.proxied:
            self._answer("proxied")
            return None
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,9}", length):
            raise Malformed()
        if int(length) > limits.FORM_BYTES:
            self._answer("too_big")
            return None
        fields = self._fields(self.rfile.read(int(length)))
        password = fields.get("admin_password")
        if not isinstance(password, str):
            raise Malformed()
        return fields if self._is_password(password) else None

    def _is_in_clear(self) -> bool:
        """Whether somebody on the way could have read it, as far as can be known here."""
        if self._client.behind:
            spoken = self.headers.get_all("X-Forwarded-Proto", [])
            if any(each.strip().lower() != "https" for each in ",".join(spoken).split(",") if each):
                return True
        elif not self._face.tls and any(name in self.headers for name in FORWARDING):
            return True  # somebody else's, brought here by a proxy that is not known
        return not self._face.tls and not is_loopback(self._client.peer)

    def _is_own(self) -> bool:
        """Whether it was made on the server's own machine, as far as can be known here."""
        brought = self._client.behind or any(name in self.headers for name in FORWARDING)
        return is_loopback(self._client.peer) and not brought

    def _is_password(self, password: str) -> bool:
        """Whether this is it; if not, or if it is not to be tried now, that is answered."""
        guesses, group = self._face.guesses.others, self._client.group
        if self._is_own():
            guesses, group = self._face.guesses.own, "own"
        wait = guesses.take(group)
        if wait:  # and nothing is judged: also a right one learns nothing
            self._answer("too_many_attempts", {"Retry-After": str(math.ceil(wait))})
            return False
        right = self._face.password.matches(password)
        if right:
            guesses.give_back(group)
        else:
            self._face.schedule(limits.FORGET_SECONDS)
            self._answer("auth_failed")
        return right

    def _fields(self, body: bytes) -> dict[str, Any]:
        kind = self.headers.get_content_type()
        if kind == "application/json":
            fields = parse(body)
        elif kind == "application/x-www-form-urlencoded":
            fields = _form_fields(body)
        else:
            raise Malformed()
        if not isinstance(fields, dict):
            raise Malformed()
        return fields

    def _generate_token(self, fields: dict[str, Any]) -> None:
        username, ttl = fields.get("username"), _whole(fields.get("ttl", TTL_DEFAULT))
        if not isinstance(username, str) or not 1 <= ttl <= TTL_MOST:
            raise Malformed()
        nick = check_nick(username)
        token = self._face.tokens.mint(nick, ttl, _flag(fields.get("bind", False)))
        self._face.schedule(ttl)
        self._respond_json(
            HTTPStatus.OK, {"token": token, "username": nick, "expires_in": ttl}
        )

    def _list_tokens(self, fields: dict[str, Any]) -> None:
        # As many as ``limits.TOKENS`` at most; of their secrets there is nothing to be told.
        listed = [
            {
                "id": token.id,
                "username": token.nick,
                "expires_in": seconds,
                "bound": token.bound,
                "invited_by": token.inviter.nick if token.inviter else None,
            }
            for token, seconds in self._face.tokens.remaining()
        ]
        self._respond_json(HTTPStatus.OK, {"tokens": listed})

    def _revoke_token(self, fields: dict[str, Any]) -> None:
        token = fields.get("token")
        if not isinstance(token, str):
            raise Malformed()
        token_id = self._face.tokens.revoke(token)
        if token_id is not None:
            self._face.on_revoked(token_id)
        self._respond_json(HTTPStatus.OK, {"revoked": token_id is not None})

    # Answers

    def _answer(self, code: str, headers: dict[str, str] | None = None) -> None:
        status, sentence = ANSWERS[code]
        if code == "bad_method" and self.command:
            headers = {"Allow": "POST" if self._path() in _FORMS else "GET"}
        self._respond_json(status, {"error": code, "message": sentence}, headers)

    def _respond_json(
        self, status: HTTPStatus, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        text = json.dumps(body).encode() + b"\n"
        self._respond(status, "application/json", text, headers)

    def _respond(
        self,
        status: HTTPStatus,
        kind: str,
        body: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.request_version = self.protocol_version  # whatever was asked in, or could be read
        self.send_response_only(status)
        own = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        for name, value in {**own, "Cache-Control": "no-store", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._linger()

    def _linger(self) -> None:
        """Say that this was all, and let the client finish: a reset could overtake the answer."""
        self.connection.shutdown()
        self.connection.set_deadline(time.monotonic() + limits.LINGER_SECONDS)
        while self.connection.recv(limits.FORM_BYTES):
            pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, told in our form and without its words."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._answer(_CODE_OF_STATUS.get(int(code), "bad_request"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        """Nothing is logged."""


_FORMS: dict[str, Callable[[Handler, dict[str, Any]], None]] = {
    "/generate_token": Handler._generate_token,
    "/list_tokens": Handler._list_tokens,
    "/revoke_token": Handler._revoke_token,
}


def _form_fields(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, strict_parsing=True, max_num_fields=16,
            errors="strict",
        )
    except ValueError:
        raise Malformed() from None
    if len(dict(pairs)) != len(pairs):
        raise Malformed()
    return dict(pairs)


def _flag(value: Any) -> bool:
    """Yes or no, as JSON has it or as a form does.  Raises Malformed."""
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise Malformed()


def _whole(value: Any) -> int:
    """A whole number, as JSON has it or as a form does.  Raises Malformed."""
    if type(value) is int:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    raise Malformed()
