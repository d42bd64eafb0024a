"""A form sent to a server's HTTP face, and its answer: http.client over a ``Stream``."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from protocol.hosts import Address
from settings.proxies import Proxy

from .dialling import Dialler
from .errors import Unreachable
from .servers import Accepted, Opened, reach_any
from .stream import Stream
from .tls import Context

_TLS_ALERT = "\x15"

# The longest answer is the list of a server's tokens: 1,024, each with a nickname of 32 letters
# that JSON writes as twelve bytes.
ANSWER_BYTES = 512 * 1024


def post_form(
    addresses: Sequence[Address],
    path: str,
    fields: Mapping[str, str],
    *,
    tls: Context | None = None,
    server_hostname: str | None = None,
    timeout: float = 10.0,
    proxy: Proxy | None = None,
) -> tuple[int, bytes]:
    """The status and body of the answer to ``fields``, which are sent to ``path``.

    They are sent once, to the first of these servers, of one chat, that is reached; one that does
    not answer then may have done what they ask for. With ``proxy`` through that one.
    ``server_hostname`` is the name on the certificate, and in Host, if it is not the server's.
    Raises Unreachable, also if what answers is no HTTP server.
    """

    def connected(stream: Stream, header: str) -> tuple[Stream, str]:
        return stream, header  # the form is sent once, to the address that was fastest

    def reached(address: Address, hold: Opened, accepted: Accepted) -> tuple[Stream, str]:
        deadline = time.monotonic() + timeout
        dialler = Dialler(*address, deadline, tls, server_hostname, hold, proxy, accepted)
        return dialler.reach(connected)

    stream, header = reach_any(addresses, timeout, reached)
    with contextlib.closing(stream):
        return _ask(stream, header, path, urlencode(dict(fields)))


class _Held:
    """The stream as http.client sees it, which closes it before it has read the answer's body."""

    def __init__(self, stream: Stream) -> None:
        self.sendall, self.makefile = stream.sendall, stream.makefile

    def close(self) -> None:
        pass


def _ask(stream: Stream, header: str, path: str, body: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("server")
    connection.sock = _Held(stream)
    kind = "application/x-www-form-urlencoded"
    try:
        connection.request("POST", path, body, {"Host": header, "Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read(ANSWER_BYTES)
    except TimeoutError:
        raise Unreachable("timeout") from None
    except (ConnectionResetError, BrokenPipeError):  # also http.client's RemoteDisconnected
        raise Unreachable("not_websocket") from None
    except OSError:
        raise Unreachable("network") from None
    except http.client.BadStatusLine as error:
        needs_tls = str(error).startswith(_TLS_ALERT)
        raise Unreachable("needs_tls" if needs_tls else "not_websocket") from None
    except (http.client.HTTPException, ValueError):
        raise Unreachable("not_websocket") from None
