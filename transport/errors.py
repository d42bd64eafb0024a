"""What goes wrong below the protocol.  Nothing here carries text of the peer's."""

from __future__ import annotations

from protocol.errors import ChatError, Malformed


class Closed(ChatError):
    """The connection is over.  Whether politely, by force or by accident means nothing."""

    code = "closed"


class Flooded(Closed):
    """The peer sent more than it may without saying anything; for its thread to cut, or to hold."""


class Unreachable(ChatError):
    """No connection came about; ``reason`` is stable and one of

    ``name`` (does not resolve), ``name_later`` (nobody says whether it does), ``refused``,
    ``timeout``, ``network`` (anything else of TCP), ``hung_up`` (accepted, and ended without a
    byte), ``not_websocket`` (another service answered), ``not_upgraded`` (a web page did: maybe
    something in between passes no WebSockets on), ``busy`` (the server has no room now),
    ``needs_tls`` (the server speaks TLS), ``onion`` (only a proxy of Tor's knows such a name), or
    one of ``TlsFailed``.

    Of a proxy: ``proxy_name`` (does not resolve), ``proxy_away`` (cannot be reached),
    ``proxy_timeout``, ``proxy_closed`` (hung up), ``proxy_strange`` (speaks something else),
    ``proxy_not_tls``, ``proxy_tls`` (no common version), ``proxy_certificate``, ``proxy_refused``
    and ``proxy_failed`` (it does not, or cannot, go there; ``status`` is its answer),
    ``proxy_login`` (wants one), ``proxy_password`` (another one), ``proxy_scheme`` (in a way that
    is not known here).
    """

    code = "unreachable"

    fingerprint = ""  # of the certificate that nobody vouches for, where it could be had
    server = ""  # host and port as people write them, where several were tried

    def __init__(self, reason: str, status: str = "") -> None:
        super().__init__(reason=reason)
        self.reason = reason
        self.status = status  # such as "HTTP 403"; of a proxy's answer, a number and no word of it

    def details(self) -> dict[str, str]:
        """What is known of it beside the reason."""
        shown = {"fingerprint": self.fingerprint, "status": self.status}
        return {**shown, "server": self.server} if self.server else shown


# Reasons that are a refusal: a proxy wants a login, and did not get one that it takes.
NOT_LET_IN = ("proxy_login", "proxy_password", "proxy_scheme")


class TlsFailed(Unreachable):
    """TLS was not agreed; ``reason`` is one of

    ``self_signed``, ``unknown_ca``, ``wrong_host``, ``expired`` (or not yet valid), ``fingerprint``
    (not the pinned certificate), ``not_tls`` (the peer speaks something else), ``protocol``
    (no common version or cipher, an alert), ``timeout``, ``network``, ``hung_up``.
    """

    code = "tls_failed"


class CertificateUnusable(ChatError):
    """A file that TLS was to use does not serve; ``reason`` is one of

    ``missing``, ``unreadable``, ``damaged`` (not PEM, or no such thing in it), ``encrypted`` (the
    key asks for a passphrase), ``mismatch`` (the key is another certificate's), ``fingerprint``
    (not 64 hexadecimal digits).  ``path`` is the file, where one is to blame.
    """

    code = "certificate_unusable"

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason=reason, path=path)
        self.reason = reason
        self.path = path


class CannotListen(ChatError):
    """The address cannot be served; ``reason`` is ``name``, ``in_use``, ``denied``, ``address``."""

    code = "cannot_listen"

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
        self.reason = reason


class BadUpgrade(Malformed):
    """The headers do not ask for a WebSocket as RFC 6455 4.2.1 wants it; nothing was sent."""


class BadProxyHeader(Malformed):
    """What came is not the header that a proxy has to send first."""
