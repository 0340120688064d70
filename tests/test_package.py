"""The wheel: the bundle's folder as a package, with a command, in an empty folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

NAME = "mammography_microcalcification_segmentation"


def python(folder, code, *places):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def installed(root, tmp_path):
    """What the package looks like on disk, code only."""
    folder = tmp_path / "site" / NAME
    shutil.copytree(root / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "scripts" / "installed.py", folder / "__init__.py")
    return folder.parent


def test_every_make_target_is_told_once(root):
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=root, capture_output=True, text=True, check=True
    )
    names = [line.split()[0] for line in told.stdout.splitlines()]
    assert told.stderr == "" and len(names) == len(set(names)) and {"demo", "test", "clean"} <= set(names)


def test_help_needs_nothing_but_python(installed, tmp_path):
    code = f"import sys; from {NAME} import main; s = main(['--help']); print('torch' in sys.modules); sys.exit(s)"
    done = python(tmp_path, code, installed)
    assert done.returncode == 0 and "segment" in done.stdout and done.stdout.endswith("False\n"), done.stderr


def test_another_package_called_scripts_is_told_not_used(installed, tmp_path):
    (tmp_path / "other" / "scripts").mkdir(parents=True)
    (tmp_path / "other" / "scripts" / "__init__.py").touch()
    done = python(tmp_path, f"import scripts, {NAME} as m; m.segment", installed, tmp_path / "other")
    assert done.returncode == 1 and "want" in done.stderr and "import this package first" in done.stderr
    done = python(tmp_path, f"import {NAME} as m; m.no_such_name", installed)
    assert "has no attribute 'no_such_name'" in done.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_bundle_and_finds_microcalcifications_in_an_empty_folder(root, phantoms, tmp_path):
    pytest.importorskip("hatchling")
    build = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", tmp_path / "dist", root)
    subprocess.run([sys.executable, *map(str, build)], check=True, cwd=tmp_path)
    wheel = next((tmp_path / "dist").glob("*.whl"))
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        file.extractall(tmp_path / "site")
    for folder, suffix in (("configs", "json"), ("scripts", ""), ("models", "pt")):
        listed = subprocess.check_output(["git", "ls-files", folder], cwd=root, text=True).split()
        wanted = {f"{NAME}/{name}" for name in listed if name.endswith(suffix)}
        assert wanted - {f"{NAME}/scripts/installed.py"} <= names  # which has become __init__.py
    about = next((tmp_path / "site").glob("*.dist-info"))
    metadata = (about / "METADATA").read_text()
    pins = re.findall(r"^[\w.-]+==\S+$", (root / "requirements.txt").read_text(), re.M)
    assert sorted(re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)) == sorted(pins)
    version = json.loads((root / "metadata.json").read_text())["version"]
    assert f"\nVersion: {version}\n" in metadata
    assert f"mammo-mc = {NAME}:program" in (about / "entry_points.txt").read_text()
    (tmp_path / "empty").mkdir()
    image = phantoms[1]["testing"][0]["image"]
    code = f"""
import sys
from {NAME} import main, segment
assert main(["segment", {image!r}, "out", "--preset", "sensitive"]) == 0
found = segment({image!r}, preset="sensitive")
print(len(found.microcalcifications))
"""
    done = python(tmp_path / "empty", code, tmp_path / "site")
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "empty" / "out" / Path(image).stem / "findings.json").read_text())
    assert report["summary"]["count"] == int(done.stdout.split()[-1]) > 0
