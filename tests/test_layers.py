"""The house: a file never imports from a later stage, and none is longer than 350 lines."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ["common", "data", "candidates", "simulation", "networks", "inference", "training", "findings", "outputs"]
STAGES += ["transforms", "evaluation", "bench", "sweeps"]
#: Files beside the stages (and a folder), which users call; each may import the ones before it.
ENTRANCES = ["api", "archive", "cluster", "command", "installed"]
FILES = sorted((ROOT / "scripts").rglob("*.py"))


def imported(file):
    """Modules that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_the_stages_are_these():
    assert {path.name for path in (ROOT / "scripts").iterdir() if path.is_dir()} - {"__pycache__"} == {
        *STAGES,
        "archive",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_import_from_a_later_stage_and_no_long_file(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 350
    place = file.relative_to(ROOT / "scripts").parts
    order = [*STAGES, *ENTRANCES]
    own = order.index(place[0].removesuffix(".py")) if place != ("__init__.py",) else 0
    for module in imported(file):
        first, *rest = module.split(".")
        if first == "scripts" and rest:
            assert order.index(rest[0]) <= own, f"{module} is of a later stage"
