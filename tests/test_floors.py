"""Imports go down only: the floors of the house, read from the source, lazy imports included."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PROJECT

# A line a room; rooms of one floor do not know each other, and imports inside a room go in no
# circle.
FLOORS = (
    ("sifnet.units", "sifnet.errors"),
    ("sifnet.files", "sifnet.terminal", "sifnet.card"),
    ("sifnet.physics", "sifnet.scenes"),
    ("sifnet.retrieval", "sifnet.simulation"),
    ("sifnet.product", "sifnet.training"),
    ("sifnet.batch", "sifnet.evaluation"),
    ("sifnet.cli", "atmorep_bridge"),
    ("sifnet.__main__",),
)
BRIDGE_MAY_USE = (
    "sifnet.training.resume",
    "sifnet.scenes",
    "sifnet.units",
    "sifnet.errors",
    "sifnet.files",
    "sifnet.terminal",
    "sifnet.training.trainer",
)


def _modules() -> dict[str, Path]:
    found = {}
    for package in ("sifnet", "atmorep_bridge"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            parts = path.relative_to(PROJECT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(module: str) -> Iterator[str]:
    """Modules of the house that ``module`` imports anywhere, but for the eyes of a type checker."""
    tree = ast.parse(MODULES[module].read_text())
    unseen: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            unseen.update(inner for child in node.body for inner in ast.walk(child))
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: {ast.unparse(node)}"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in inside]
        else:
            continue
        yield from (n for n in names if n in MODULES and n not in (module, "sifnet"))


def _in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _room(module: str) -> tuple[int, str]:
    """Floor and name of the room that a module lies in."""
    for floor, rooms in enumerate(FLOORS):
        for room in rooms:
            if _in(module, room):
                return floor, room
    raise AssertionError(f"{module} lies in no room: give it one, or a room a floor in FLOORS")


@pytest.mark.parametrize("module", [module for module in MODULES if module != "sifnet"])
def test_imports_go_down(module: str) -> None:
    floor, room = _room(module)
    for imported in _imports(module):
        below, other = _room(imported)
        assert room == other or below < floor, f"{module} reaches across or up to {imported}"


def test_only_what_is_built_with_full_radiative_transfer_knows_it() -> None:
    """`physics.full` needs the extra `build`: nothing that maps a scene may touch it."""
    allowed = ("sifnet.physics.full", "sifnet.simulation", "sifnet.training.shape", "sifnet.cli")
    for module in MODULES:
        for imported in _imports(module):
            if _in(imported, "sifnet.physics.full"):
                assert any(_in(module, room) for room in allowed), f"{module}: {imported}"


def test_the_bridge_uses_little_of_sifnet() -> None:
    for module in MODULES:
        if _in(module, "atmorep_bridge"):
            for imported in _imports(module):
                allowed = (*BRIDGE_MAY_USE, "atmorep_bridge")
                assert any(_in(imported, name) for name in allowed), f"{module}: {imported}"


def test_there_are_no_circles() -> None:
    graph = {module: set(_imports(module)) for module in MODULES}
    while graph:
        free = [module for module, needs in graph.items() if not needs & graph.keys()]
        assert free, f"imports in a circle among {sorted(graph)}"
        for module in free:
            del graph[module]


def test_every_room_exists() -> None:
    for rooms in FLOORS:
        for room in rooms:
            assert any(_in(module, room) for module in MODULES), room


def test_import_of_the_package_alone_is_light() -> None:
    """`import sifnet` pulls in none of its modules: names are loaded when first used."""
    assert list(_imports("sifnet")) == []
