"""What is said about one's own lines: until the server has taken them, because it has not, or where
not everybody can read them. Pure.
"""

from __future__ import annotations

from client import messages
from client.fullscreen.scrollback import GUARDED, REFUSED, SENDING, SHUT_OUT, ScrollbackEntry
from client.output.wrapping import Row, Span
from i18n import _

_HOPELESS = ("too_long", "not_text")  # the same line would be refused again


def state_of(entry: ScrollbackEntry, connected: bool) -> str:
    """What is to be said about an entry: nothing once the server has taken it for everybody."""
    if entry.state == SENDING:
        return _("sending…") if connected else _("waits for the connection")
    if entry.state == SHUT_OUT:
        return messages.shut_out(entry.reason == GUARDED)
    if entry.state != REFUSED:
        return ""
    reason = messages.not_sent(entry.reason)
    if entry.reason in _HOPELESS:
        return _("not sent: {reason}").format(reason=reason)
    return _("not sent: {reason} (/resend)").format(reason=reason)


def rows_of(entry: ScrollbackEntry, state: str) -> tuple[Row, ...]:
    """The rows of an entry with what is to be said about it."""
    rows = entry.content.rows
    if not state:
        return rows
    if entry.state == SENDING:
        last = rows[-1]
        return (*rows[:-1], Row((*last.spans, Span("  "), Span(state, "quiet")), last.indent))
    return (*rows, Row((Span(f"! {state}", "alarm"),), 2))
