"""What a refusal of the server's is told with: its parameters, as far as they can be believed."""

from __future__ import annotations

from protocol import frames
from protocol.errors import BadNick
from protocol.names import check_nick


def params(refused: frames.Refused) -> dict[str, int | float | str]:
    """The parameters that ``messages`` takes; a nickname only if it can be somebody's."""
    given = {"retry_after": refused.retry_after, "limit": refused.limit, "nick": refused.nick}
    found = {name: value for name, value in given.items() if value is not None}
    if refused.nick is not None:
        try:
            found["nick"] = check_nick(refused.nick)
        except BadNick:
            del found["nick"]
    return found
