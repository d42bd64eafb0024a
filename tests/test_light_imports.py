"""What a client does not use is not loaded: it would be a tenth of its memory and of its start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "transport" / "websocket_library.py"
DEADLINE = 60  # only against hanging

# Of the standard library, of cryptography, and of this program.
HEAVY = """
    ssl inspect logging http.cookies dataclasses shutil bz2 lzma difflib pathlib asyncio email
    cryptography.fernet transport.tls client.sealed_file client.identity.records client.history
    client.fullscreen client.bots server
"""


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has after ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_a_client_without_tls_loads_nothing_that_it_does_not_need() -> None:
    before = loaded("")  # whatever this machine's site packages bring
    found = loaded(
        "import cli.parsing, cli.run, client.app, client.background, transport.client_websocket\n"
        "from cli.table import COMMANDS\n"
        "cli.parsing.parser(COMMANDS['connect'], for_help=False).parse_known_args(['--quiet'])\n"
        "import settings\n"
        "settings.near_misses({'CLIENT_ROOM': 'x'})"
    )
    assert found & set(HEAVY.split()) - before == set()
    assert {"websocket", "websocket._core", "client.session"} <= found


def test_a_context_for_tls_brings_it() -> None:
    assert "ssl" in loaded("from transport import tls; tls.client_context()")


def test_the_library_is_as_it_is_where_it_was_loaded_before() -> None:
    code = "import websocket; before = websocket.WebSocketApp\n"
    code += "from transport.websocket_library import websocket as found\n"
    assert "inspect" in loaded(f"{code}assert found.WebSocketApp is before")


@pytest.mark.parametrize("gone", ['"set_reconnect": _nothing', '"HAVE_SSL": False, ', '"trace", '])
def test_a_library_that_wants_more_is_loaded_whole(gone: str) -> None:
    text = LIBRARY.read_text(encoding="utf-8")
    assert text.count(gone) == 1
    code = f"exec({text.replace(gone, '')!r}, {{'__name__': 'tried'}})\n"
    code += "import websocket\nassert isinstance(websocket.WebSocketApp, type)\n"
    code += "assert websocket.WebSocketApp.__module__ == 'websocket._app'\n"
    code += "import logging\nassert not logging.getLogger('websocket').isEnabledFor(50)"
    assert {"inspect", "ssl", "http.cookies"} <= loaded(code)
