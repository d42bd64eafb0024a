"""The identity that lasts, opened for a while, by all that go into a room without a screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from client import messages
from client.background import StartupKeys
from client.output import streams
from settings import ClientSettings


@contextmanager
def opened_identity(
    settings: ClientSettings, keys: StartupKeys
) -> Iterator[tuple[int, str] | None]:
    """The identity of ``keys``, which is written and closed at the end; nothing where none lasts.

    Gives the exit status and the sentence if it cannot be opened, None if all is well.
    """
    if settings.identity is None:
        yield None
        return
    # Nothing of it is loaded for nobody.
    from pathlib import Path

    from client.identity.command import said

    if problem := said(keys.keeper, Path(settings.identity)):
        yield problem
        return
    try:
        yield None
    finally:
        keeper = keys.keeper()
        if keeper is not None and (code := keeper.close()):
            streams.say(messages.identity(code, {"path": settings.identity}))
