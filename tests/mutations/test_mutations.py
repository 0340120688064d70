"""Every rule of the evaluation, broken on purpose in a copy of the code, is noticed by its tests."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations.mutants import MUTANTS

PASSED, FAILED = 0, 1  # pytest's; an error while importing, or no such test, is another number
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def results(root, tmp_path_factory):
    """pytest's exit status and words for every mutant, then for the code as it is."""
    folder = tmp_path_factory.mktemp("mutants")
    for name in ("scripts", "tests/evaluation"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow\n    gpu\n")

    def entry(tests, file="", old="", new=""):
        paths = [str(Path("tests/evaluation") / test) for test in tests]
        return {"file": f"scripts/evaluation/{file or 'cases.py'}", "old": old, "new": new, "tests": paths}

    plan = [entry(m.tests, m.file, m.old, m.new) for m in MUTANTS]
    plan.append(entry(sorted({test for m in MUTANTS for test in m.tests})))
    (folder / "plan.json").write_text(json.dumps(plan))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": ""}
    environment = {key: value for key, value in environment.items() if key != "PYTEST_ADDOPTS"}
    command = [sys.executable, str(Path(__file__).parent / "run_mutants.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    statuses = json.loads((folder / "results.json").read_text())
    return [(status, (folder / f"{number}.txt").read_text()[-1500:]) for number, status in enumerate(statuses)]


@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=[m.rule for m in MUTANTS])
def test_a_broken_rule_is_noticed(results, number):
    status, words = results[number]
    assert status == FAILED, f"survived: {MUTANTS[number].rule}\n{words}"


def test_the_same_tests_pass_on_the_code_as_it_is(results):
    status, words = results[-1]
    assert status == PASSED, words


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.rule for m in MUTANTS])
def test_each_change_stands_in_the_code_exactly_once(root, mutant):
    assert (root / "scripts" / "evaluation" / mutant.file).read_text().count(mutant.old) == 1
