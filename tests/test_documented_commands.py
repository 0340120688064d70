"""Every command in a code block of the user pages is run on small data, or it is said why not, and what runs instead.

The rules are in documented_commands.py. The runs are marked slow: `pytest -m slow tests/test_documented_commands.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented_commands import PLACEHOLDERS, RULES, Left, Run, filled, rule_of
from tests.test_docs import ROOT, USER_PAGES, code_blocks, text_of

PROGRAM = re.compile(r"(python|make|mammo-mc|pip|curl|torchrun|mlflow|ray|sbatch|srun|docker|git|\.venv\S*)\s")
#: As a shell reads them: two spaces where a line was continued are one.
COMMANDS = list(
    dict.fromkeys(
        re.sub(r"\s+", " ", line) for page in USER_PAGES for line in code_blocks(text_of(page)) if PROGRAM.match(line)
    )
)
RUN = [command for command in COMMANDS if isinstance(rule_of(command), Run)]


def test_every_command_has_a_rule_and_every_rule_a_command():
    assert len(COMMANDS) > 50
    assert [command for command in COMMANDS if rule_of(command) is None] == []
    used = {id(rule_of(command)) for command in COMMANDS}
    assert [rule.pattern for rule in RULES if id(rule) not in used] == []


def test_what_is_not_run_says_why_and_what_is_run_instead():
    for rule in RULES:
        if isinstance(rule, Left):
            assert rule.reason and (not rule.instead or (ROOT / rule.instead).is_file()), rule.pattern
    assert len(RUN) > 25


def test_every_placeholder_of_a_command_that_is_run_is_filled():
    paths = dict.fromkeys(("bundle", "images", "dataset", "made", "own", "one", "other"), "x")
    for command in RUN:
        assert not re.search(r"<|\b[A-Z]{4,}\b(?!=)", " ".join(filled(command, paths))), command
    assert all(any(text in command for command in COMMANDS) for text in PLACEHOLDERS)


@pytest.fixture(scope="module")
def sandbox(phantoms, tmp_path_factory):
    """A copy of the bundle with an environment as make builds it, and small data: paths by name."""
    place = tmp_path_factory.mktemp("commands")
    bundle, images, dataset = place / "bundle", place / "images", place / "dataset"
    kept = ("configs", "deploy", "docs", "metadata.json", "models", "monai_label", "scripts", "Makefile")
    bundle.mkdir()
    for name in (*kept, *(file.name for file in ROOT.glob("requirements*.txt"))):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, bundle / name)
    environment = bundle / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "lib").symlink_to(Path(sys.prefix) / "lib")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    (environment / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    for stamp in (".run", ".dev"):
        (environment / stamp).touch()
    images.mkdir()
    shutil.copytree(phantoms[0], dataset)
    items = {
        section: [
            {**item, "image": f"images/{Path(item['image']).name}", "label": f"labels/{Path(item['label']).name}"}
            for item in listed
        ]
        for section, listed in phantoms[1].items()
    }
    (dataset / "datalist.json").write_text(json.dumps(items))
    for section, name in (("testing", "one"), ("validation", "other")):
        shutil.copy(phantoms[1][section][0]["image"], images / f"{name}.dcm")
    (place / "made").mkdir()
    found = {"bundle": bundle, "images": images, "dataset": dataset, "made": place / "made"}
    return found | {"one": images / "one.dcm", "other": images / "other.dcm"}


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_the_command_runs(sandbox, command):
    own = sandbox["made"] / str(RUN.index(command))
    words = filled(command, {name: str(path) for name, path in (sandbox | {"own": own}).items()})
    python = str(sandbox["bundle"] / ".venv" / "bin" / "python")
    programs = {"python": [python], "mammo-mc": [python, "-m", "scripts.command"]}
    words = [*programs.get(words[0], words[:1]), *words[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(words, cwd=sandbox["bundle"], env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
