"""The layers: imports run downwards only, and each kind of work is done in one place.

Everything is found by reading the source, so nothing has to be imported for it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("protocol", "i18n", "settings", "transport", "server", "client", "cli")

# Of ours, what each may import besides itself.
BELOW: dict[str, set[str]] = {
    "protocol": set(),
    "i18n": set(),
    "settings": {"protocol", "i18n"},
    "transport": {"protocol", "settings", "i18n"},
    "server": {"transport", "protocol", "settings", "i18n"},
    "client": {"transport", "protocol", "settings", "i18n"},
    "cli": {"server", "client", "transport", "protocol", "settings", "i18n"},
    "cmd_chat": {"cli"},
}

# What has neither files nor sockets, threads, clocks or output in it.
PURE = {
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses",
    "enum", "functools", "hashlib", "hmac", "ipaddress", "itertools", "json", "math", "operator",
    "re", "reprlib", "secrets", "string", "struct", "types", "typing", "unicodedata",
    "urllib.parse", "weakref", "cryptography",
    "io.StringIO",  # memory, for all its module
}  # fmt: skip
# Client code that is pure as well.
PURE_CLIENT = {
    "encryption", "events", "views", "commands", "completion", "cheatsheet", "messages", "refusals",
    "outbox", "open_room", "entrance", "open_rooms", "room_moves", "view_list",
    "ignored", "own_name", "pacing", "room_secrets",
    "json_object", "sealed_file", "history.records", "identity.records",
}  # fmt: skip

NETWORK = {"socket", "ssl", "select", "simple_websocket", "websocket", "wsproto"}
POSIX = {"termios", "tty", "pty", "fcntl", "resource", "pwd", "grp"}
# Who may print: the renderers, the banner, the sentence at the end, what was asked for (a token,
# a history).
WRITERS = {"cli/run.py", "cli/asking.py", "server/app.py", "client/app.py", "client/token.py",
           "client/status.py", "client/programs/printing.py", "client/history/command.py",
           "client/identity/command.py",
           "client/console.py"}  # fmt: skip
SCREENS = {("client", "input"), ("client", "output"), ("client", "fullscreen")}


class Import:
    """One imported module, by its full name, and whether that happens when it is imported."""

    def __init__(self, path: Path, name: str, line: int, at_start: bool) -> None:
        self.name, self.at_start = name, at_start
        self.place = f"{path.relative_to(ROOT)}:{line}"
        self.top = name.split(".")[0]

    def within(self, names: set[str]) -> bool:
        """Whether it is one of these modules, or inside one."""
        parts = self.name.split(".")
        return any(".".join(parts[: end + 1]) in names for end in range(len(parts)))


def sources(*packages: str) -> list[Path]:
    found = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert found
    return found


ALL = [ROOT / "cmd_chat.py", *sources(*PACKAGES)]


def tree(path: Path) -> ast.Module:
    return parsed(path.read_text(encoding="utf-8"))


@functools.cache
def parsed(text: str) -> ast.Module:
    """Most tests here read the same sources."""
    return ast.parse(text)


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> tuple[Import, ...]:
    """All imports, those inside functions and ``if`` as well, relative ones made absolute."""
    return found_in(path, tree(path))


@functools.cache
def found_in(path: Path, module: ast.Module) -> tuple[Import, ...]:
    """The imports of a file with this content."""
    return tuple(_found_in(path, module))


def _found_in(path: Path, module: ast.Module) -> Iterator[Import]:
    inside = {
        id(node)
        for function in ast.walk(module)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = imported_from(path, node)
        else:
            continue
        for name in names:
            yield Import(path, name, node.lineno, id(node) not in inside)


def imported_from(path: Path, node: ast.ImportFrom) -> list[str]:
    module = node.module or ""
    if node.level:
        here = list(path.relative_to(ROOT).parent.parts)
        module = ".".join([*here[: len(here) - node.level + 1], *module.split(".")]).rstrip(".")
    # `from client import app` imports client.app.
    return [f"{module}.{alias.name}" for alias in node.names]


def wrong_ones(paths: list[Path]) -> list[str]:
    """Imports of ours that do not run downwards."""
    return [
        f"{found.place} imports {found.name}"
        for path in paths
        for found in imports(path)
        if found.top in BELOW
        and found.top != package_of(path)
        and found.top not in BELOW[package_of(path)]
    ]


def test_imports_run_downwards() -> None:
    assert wrong_ones(ALL) == []


def test_no_imports_go_round_in_a_circle() -> None:
    """Nor do those inside functions, which only hide it; those for type checkers aside."""
    assert circles({module_name(path): targets(path) for path in ALL}) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [{"b", "c"}]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {module_name(path) for path in ALL}


def run_imports(path: Path) -> list[Import]:
    """The imports of a file when it runs: all but those for type checkers."""
    only = for_checkers(tree(path))
    return [each for each in imports(path) if int(each.place.rpartition(":")[2]) not in only]


@functools.cache
def for_checkers(module: ast.Module) -> set[int]:
    """The lines that are read by type checkers alone."""
    return {
        line
        for node in ast.walk(module)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def targets(path: Path) -> set[str]:
    """The modules of ours that a file imports when it runs, wherever in it that stands."""
    found = set()
    for each in run_imports(path):
        name = each.name
        while name and name not in NAMES:  # `from client import app` and its names
            name = name.rpartition(".")[0]
        found.add(name)
    return found & NAMES - {module_name(path)}


def circles(imported: dict[str, set[str]]) -> list[set[str]]:
    """Modules that import each other, however far round."""
    reached = {name: set(others) for name, others in imported.items()}
    for through in imported:  # Warshall
        for name, others in reached.items():
            if through in others:
                reached[name] = others | reached.get(through, set())
    found = {
        frozenset(other for other in others if name in reached.get(other, set()))
        for name, others in reached.items()
        if name in others
    }
    return [set(each) for each in sorted(found, key=sorted)]


# The layers inside the packages: a line for each, and a module imports only what stands on a line
# below its own.  A package stands for its modules, but for those that have a line of their own.
INNER: dict[str, str] = {
    "cli": """
        run
        asking completion
        parsing
        table strength packages interrupts
    """,
    "settings": """
        __init__
        token status programs
        connect
        rooms
        serve
        history identity proxies inherited backend
        sources
        servers
        dotenv_file
        dotenv
        table
        types errors exit_status folders started
    """,
    "protocol": """
        link wire_json
        records
        posts
        frames
        frame_parts
        codec names pake fernet
        keys lookalikes invite sizes token_seal
        errors limits hosts safe_text confusable_table script_table
        dataclass
    """,
    "transport": """
        client_websocket http_client
        dialling servers
        blocking_socket server_websocket
        resolver
        happy_eyeballs proxies proxy_header tunnel tls websocket
        stream byte_budget listening websocket_library
        token_bucket held_calls free_threading poller route errors
    """,
    "server": """
        app
        cluster
        handshake
        connection
        requests console
        services
        sessions
        broadcast
        rooms listener http
        admission auth banner bans churn expiry member rate_limits signals throttle tickets
        budget client_address private threads limits
    """,
    "server.cluster": """
        handshake requests console
        services
        sessions node
        places
        session tables reader policy
        replica ledger rooms
        mirror checks
        arrivals
        asking entries
        writer calls engine_clock
        scripts
        script
        engine keys replies
        resp outcomes reply_values limits fences
    """,
    "client.programs": """
        send tail
        visit printing delivery wanted
    """,
    "client": """
        token status
        app programs
        console opening
        history identity.command fullscreen bots
        output
        input
        output.widths
        local_user destination
        connection
        session
        connection.deadlines room_moves
        open_rooms verification invitations
        entrance
        open_room room_secrets background
        view_list outbox completion input_forms
        commands refusals
        encryption
        identity
        private_file
        sealed_file messages cheatsheet own_name ignored pacing
        events
        views json_object
    """,
    "client.bots": """
        responder
        posix windows
        outcome
    """,
    "client.connection": """
        connection
        login standby liveness
        addresses handshake reconnection
        outcome
        deadlines backoff circuit_breakers heartbeat silence sending
    """,
    "client.encryption": """
        encryption
        room_encryption
        run_state
        membership posts
        trust
        roster envelope safety_numbers
        transcript
        sender_keys
    """,
    "client.history": """
        command
        recorder
        store
        records
    """,
    "client.identity": """
        command
        keeper
        store
        records
    """,
    "client.input": """
        windows_keyboard
        keyboard
        keys
        terminal windows pipes paste editor
        source edit_buffer key_sequences line_history modes signals waiter windows_keys
    """,
    "client.output": """
        colours lines
        text links line_screen finding
        input_line wrapping
        screen line_prefix widths
        charset clearing clipboard crowds drafts json screen_queue streams width_table
        secret_rooms shown_views
    """,
    "client.fullscreen": """
        screen
        canvas
        view
        header bar
        model own_lines scroll bare finder
        scrollback
        entry_text prompt diff
        repeats columns connection_status last
    """,
}


def entries(package: str) -> dict[str, int]:
    """The line of each entry of a package, from the top."""
    lines = enumerate(INNER[package].split("\n"))
    return {f"{package}.{name}": number for number, line in lines for name in line.split()}


def placed(package: str, module: str) -> str:
    """The entry that a module falls under: its own, or that of a package around it; or ""."""
    found = entries(package)
    name = module if module != package else f"{package}.__init__"
    while name and name not in found:
        name = name.rpartition(".")[0]
    return name


def inside(package: str) -> list[str]:
    """The modules of a package, and of those inside it; its ``__init__`` if that imports any."""
    here = [name for name in NAMES if name.startswith(f"{package}.")]
    return [*here, *([package] if f"{package}.__init__" in entries(package) else [])]


@pytest.mark.parametrize("package", INNER)
def test_imports_inside_a_package_run_downwards(package: str) -> None:
    line, wrong = entries(package), []
    imported = {module_name(path): targets(path) for path in ALL}
    for module in inside(package):
        for other in imported[module] & set(inside(package)):
            if package != module.rpartition(".")[0] == other.rpartition(".")[0]:
                continue  # that is said where the lines of that package are
            above, below = placed(package, module), placed(package, other)
            if above and below and above != below and line[above] >= line[below]:
                wrong.append(f"{module} imports {other}")
    assert not wrong, (
        f"{wrong}, not below it in INNER[{package!r}] of tests/test_layers.py: turn the import "
        "round, or move a name to another line"
    )


def test_each_module_has_its_layer() -> None:
    packages = {name.rpartition(".")[0] for name in NAMES} - {""}
    assert packages == set(INNER), "INNER in tests/test_layers.py has an entry for each package"
    for package in INNER:
        missing = [name for name in inside(package) if not placed(package, name)]
        assert not missing, (
            f"{missing}: give each a line in INNER[{package!r}] of tests/test_layers.py, "
            "above all that it imports and below all that import it"
        )
        known = {*inside(package), *INNER, f"{package}.__init__"}
        gone = set(entries(package)) - known
        assert not gone, f"{gone}: strike them out of INNER[{package!r}] of tests/test_layers.py"


def test_the_layers_have_an_order() -> None:
    """No two packages may import each other, not even by a detour."""
    order = ["protocol", "i18n", "settings", "transport", "server", "client", "cli", "cmd_chat"]
    for place, name in enumerate(order):
        assert BELOW[name] <= set(order[:place]), name
    assert "server" not in BELOW["client"] and "client" not in BELOW["server"]


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("protocol", "import transport"),
        ("protocol", "def f():\n    from settings import ROWS"),
        ("transport", "from server.app import run"),
        ("server", "if True:\n    import client.sealing"),
        ("client", "from server import rooms"),
        ("client", "import cli.run"),
        ("cli", "import cmd_chat"),
        ("server", "from ..client import app"),
        ("i18n", "from protocol.safe_text import visible"),
    ],
)
def test_an_import_that_runs_upwards_is_found(
    package: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / package / "part.py"
    path.parent.mkdir()
    path.write_text(line)
    assert len(wrong_ones([path])) == 1
    path.write_text(f"import os\nfrom {package} import other\nfrom . import third\n")
    assert wrong_ones([path]) == []


def test_the_protocol_is_pure() -> None:
    wrong = [
        f"{found.place} imports {found.name}"
        for path in sources("protocol")
        for found in imports(path)
        if not found.within(PURE | {"protocol"})
    ]
    assert wrong == []


def test_the_clients_cryptography_and_words_are_pure() -> None:
    pure = {f"client.{name}" for name in PURE_CLIENT}
    paths = [
        path
        for path in sources("client")
        if {module_name(path), module_name(path).rpartition(".")[0]} & pure
    ]
    assert len(paths) > len(PURE_CLIENT)
    # Times are values there: nobody asks what time it is.
    ours = {"protocol", "i18n", "difflib", "datetime"} | pure
    assert not [path for path in paths if ".now(" in path.read_text(encoding="utf-8")]
    # `from client import events` names a module of the list, too.
    wrong = [
        f"{found.place} imports {found.name}"
        for path in paths
        for found in run_imports(path)
        if not found.within(PURE | ours)
    ]
    assert wrong == []


def test_only_the_transport_knows_the_network() -> None:
    wrong = [
        f"{found.place} imports {found.name}"
        for path in ALL
        for found in imports(path)
        if package_of(path) != "transport" and found.within(NETWORK)
    ]
    assert wrong == []


def test_only_one_module_knows_the_engines_client_library() -> None:
    found = {
        module_name(path)
        for path in ALL
        for each in imports(path)
        if each.within({"redis", "valkey", "hiredis"})
    }
    assert found == {"server.cluster.engine"}


def test_the_server_has_no_cryptography_of_rooms() -> None:
    """It could not open a box if it wanted to."""
    wrong = [
        found.place
        for path in sources("server")
        for found in imports(path)
        if found.within({"cryptography", "client"})
    ]
    assert wrong == []


def test_nothing_posix_is_imported_at_the_start() -> None:
    wrong = [
        f"{found.place} imports {found.name}"
        for path in ALL
        for found in imports(path)
        if found.within(POSIX) and found.at_start
    ]
    assert wrong == []


# Writing to the terminal


def outputs(path: Path) -> Iterator[str]:
    """Where a file prints, or takes hold of a standard stream to write to."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name) and node.id == "print":
            yield f"{path.relative_to(ROOT)}:{node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "__stdout__", "__stderr__"):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_only_the_console_writes_to_the_terminal() -> None:
    wrong = [
        place
        for path in ALL
        if str(path.relative_to(ROOT)) not in WRITERS
        and path.relative_to(ROOT).parts[:2] not in SCREENS
        for place in outputs(path)
    ]
    assert wrong == []


def test_the_client_prints_to_standard_error_only() -> None:
    """Standard output is the events'; what it says besides must not get among them."""
    for node in ast.walk(tree(ROOT / "client" / "app.py")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "print":
                assert [keyword.arg for keyword in node.keywords][:1] == ["file"], node.lineno
                assert ast.unparse(node.keywords[0].value) == "sys.stderr", node.lineno


# What happens when a module is imported

_QUIET_CALLS = {"open", "print", "input", "exec", "eval", "connect", "run", "Popen", "start"}


def test_importing_does_nothing() -> None:
    """No file, no socket, no thread: a module defines things, and no more."""
    wrong = []
    for path in ALL:
        for statement in tree(path).body:
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                continue
            if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
                continue  # run, not imported
            for node in ast.walk(statement):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func).split(".")[-1]
                    if name in _QUIET_CALLS:
                        wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {name}")
    assert wrong == []


def test_each_package_says_what_it_is_for() -> None:
    for init in sorted(path for path in ALL if path.name == "__init__.py"):
        text = ast.get_docstring(tree(init))
        assert text is not None and len(text.split()) >= 20, init


def test_each_module_says_what_it_is_for() -> None:
    for path in ALL:
        assert ast.get_docstring(tree(path)), path
