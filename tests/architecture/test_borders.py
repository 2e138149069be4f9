"""The borders between rooms, as rules over the imports of every file; each with a breach that it must catch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("edge", "router", "connectors", "authsvc", "projections")
LAYERS = ("contracts", "kernel", "platform", "client", "bridge", "cli", "local")
MAY_IMPORT = {
    "contracts": {"contracts"},
    "kernel": {"contracts", "kernel"},
    "platform": {"contracts", "kernel", "platform"},
    "client": {"contracts", "kernel", "client"},
    "bridge": {"contracts", "kernel", "bridge"},
    "local": {"contracts", "kernel", "platform", "client", "local"},
    "cli": {"contracts", "kernel", "platform", "client", "bridge", "local", "cli"},
}
IMPURE = {"asyncio", "os", "time", "random", "secrets", "socket", "subprocess", "threading", "nats", "asyncpg"}
# Files that are longer than the limit, with their length today; the list may only shrink.
LONG_FILES: dict[str, int] = {}
MAX_FILE, MAX_TEST_FILE, MAX_FUNCTION = 400, 600, 60


def sources() -> list[Path]:
    return sorted([*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")])


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "services" else None


def layer_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT).parts
    return parts[3] if parts[:3] == ("libs", "common", "callboard") and len(parts) > 4 else None


def breaches(path: Path, text: str) -> list[str]:
    """Every rule that this text would break if it stood at this path."""
    tree, found = ast.parse(text), []
    names = set(imports(tree))
    room, layer = room_of(path), layer_of(path)
    for name in names:
        top = name.split(".")[0]
        if top.startswith("callboard_") and top != f"callboard_{room}":
            found.append(f"imports the room {top}")
        if layer and name.startswith("callboard.") and name.split(".")[1] in set(LAYERS) - MAY_IMPORT[layer]:
            found.append(f"{layer} imports {name}")
    pure = path.name == "domain.py" or layer in ("contracts", "kernel")
    if pure:
        found += [f"pure code imports {name}" for name in names if name.split(".")[0] in IMPURE]
        found += ["pure code awaits" for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef)]
        found += [
            f"pure code calls {node.attr}()"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "uuid4", "urandom", "environ")
        ]
    if "os.environ" in text and path.name not in ("settings.py",) and layer not in ("cli", "local"):
        found.append("reads os.environ outside settings")
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_breaks_a_border(path: Path) -> None:
    assert breaches(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("services/edge/callboard_edge/x.py", "import callboard_router"),
        ("services/edge/callboard_edge/x.py", "from callboard_router.state import RouterState"),
        ("libs/common/callboard/platform/x.py", "from callboard_edge import app"),
        ("libs/common/callboard/contracts/x.py", "from callboard.kernel import names"),
        ("libs/common/callboard/bridge/x.py", "from callboard.client import Callboard"),
        ("libs/common/callboard/kernel/x.py", "from callboard.platform.bus import Bus"),
        ("services/router/callboard_router/playbooks/domain.py", "import time"),
        ("services/router/callboard_router/playbooks/domain.py", "async def f(): await g()"),
        ("services/router/callboard_router/playbooks/domain.py", "x = datetime.now()"),
        ("services/router/callboard_router/x.py", "import os\nos.environ['A']"),
    ],
)
def test_a_planted_breach_is_caught(where: str, text: str) -> None:
    assert breaches(ROOT / where, text)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LONG_FILES.get(str(path.relative_to(ROOT)), MAX_FILE)
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    ]
    assert not long


def test_test_files_stay_short() -> None:
    long = [str(p) for p in ROOT.glob("tests/**/*.py") if p.read_text().count("\n") > MAX_TEST_FILE]
    assert not [path for path in long if "node_modules" not in path]


def test_every_room_has_the_same_inside() -> None:
    for room in ROOMS:
        folder = ROOT / "services" / room / f"callboard_{room}"
        for name in ("__main__.py", "app.py", "settings.py", "entry"):
            assert (folder / name).exists(), f"{room} has no {name}"


def test_sql_stands_in_sql_files() -> None:
    verbs = ("select ", "insert into ", "update cb.", "delete from ", "create table ")
    guilty = []
    for path in sources():
        if layer_of(path) == "platform" and path.name == "migrate.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.lstrip().lower()
                if text.startswith(verbs) and ("\n" in text or " from " in text or " set " in text or "values" in text):
                    guilty.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not guilty
