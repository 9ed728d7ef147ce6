"""Imports go down only: the floors of the house, read from the source, lazy imports included."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PROJECT

# Of a module, or of a package when none of its modules is named. Same floor is fine; circles are
# not.
FLOORS = {
    "sifnet.units": 0, "sifnet.tables": 0, "sifnet.errors": 0,
    "sifnet.scene": 1, "sifnet.scene_checks": 1, "sifnet.physics": 1,
    "sifnet.readers": 2, "sifnet.priors": 2, "sifnet.pixels": 2, "sifnet.patches": 2,
    "sifnet.shape": 2,
    "sifnet.encoder": 3, "sifnet.losses": 3, "sifnet.jacobians": 3, "sifnet.information": 3,
    "sifnet.refinement": 3,
    "sifnet.retrieval": 4, "sifnet.maps": 4, "sifnet.limits": 4, "sifnet.baselines": 4,
    "sifnet.pretraining": 5, "sifnet.pretrained": 5, "sifnet.trainer": 5, "sifnet.training": 5,
    "sifnet.outputs": 5, "sifnet.product": 5,
    "sifnet.plots": 5, "sifnet.report": 5, "sifnet.evaluation": 5, "sifnet.landscape": 5,
    "sifnet.simulation": 5, "sifnet.simulation_desis": 5, "sifnet.scenery": 5,
    "sifnet.mosaic": 5, "sifnet.canopies": 5,
    "sifnet.shape_training": 5, "sifnet.aggregate": 5, "sifnet.cog": 5, "sifnet.stac": 5,
    "sifnet.mapping": 6, "sifnet.finished": 5, "sifnet.downloads": 6, "sifnet.cluster": 6,
    "sifnet.batch": 6, "sifnet.config": 6,
    "sifnet.cli": 7, "sifnet.__main__": 7,
}  # fmt: skip
APART = (("sifnet.physics", "sifnet.scene"), ("sifnet", "atmorep_bridge"))
BRIDGE_MAY_USE = (
    "sifnet.scene",
    "sifnet.units",
    "sifnet.errors",
    "sifnet.training",
    "sifnet.trainer",
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


def _floor(module: str) -> int:
    while module not in FLOORS:
        assert "." in module, f"{module} has no floor: give it one in FLOORS"
        module = module.rpartition(".")[0]
    return FLOORS[module]


def _in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("module", [m for m in MODULES if _in(m, "sifnet") and m != "sifnet"])
def test_imports_go_down(module: str) -> None:
    for imported in _imports(module):
        if imported == "sifnet":
            continue
        assert _floor(imported) <= _floor(module), f"{module} reaches up to {imported}"


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_must_not_know_each_other_does_not(one: str, other: str) -> None:
    for module in MODULES:
        for imported in _imports(module):
            assert not (_in(module, one) and _in(imported, other)), f"{module}: {imported}"
            if other != "atmorep_bridge":
                assert not (_in(module, other) and _in(imported, one)), f"{module}: {imported}"


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


def test_every_named_floor_exists() -> None:
    built = {m for m in FLOORS if m in MODULES or any(_in(n, m) for n in MODULES)}
    assert FLOORS.keys() - built <= {"sifnet.__main__"}


def test_import_of_the_package_alone_is_light() -> None:
    """`import sifnet` pulls in none of its modules: names are loaded when first used."""
    assert list(_imports("sifnet")) == []
