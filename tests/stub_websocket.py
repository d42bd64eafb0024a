"""A WebSocket without a network, for tests to derive from: it takes all, and nothing comes."""

from __future__ import annotations

from transport.token_bucket import TokenBucket
from transport.websocket import WebSocket


class StubWebSocket(WebSocket):
    """What a test does not define does nothing."""

    backlog = 0

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        return None

    def wake(self) -> None:
        pass

    def send(self, data: str | bytes) -> None:
        pass

    def flush(self, deadline: float) -> None:
        pass

    def close(self, code: int = 1000) -> None:
        pass

    def _send_close(self, code: int) -> None:
        pass

    def abort(self) -> None:
        pass

    def allow(self, max_message_size: int) -> None:
        pass

    def charge_to(self, bucket: TokenBucket) -> None:
        pass

    def finish(self, deadline: float) -> None:
        pass
