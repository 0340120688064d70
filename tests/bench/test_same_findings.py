"""Comparing two result folders: same, differing, missing, nothing to compare."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.bench.same_findings import COMPARED, main


@pytest.fixture
def before(tmp_path: Path) -> Path:
    folder = tmp_path / "before" / "a"
    folder.mkdir(parents=True)
    (folder / "findings.json").write_text(json.dumps(dict.fromkeys(COMPARED, 0)), encoding="utf-8")
    for name in ("mask.nii.gz", "instances.nii.gz"):
        nibabel.nifti1.Nifti1Image(np.eye(4, dtype=np.uint8)[..., None], np.eye(4)).to_filename(folder / name)
    return folder.parent


def status(*folders: Path) -> object:
    with pytest.raises(SystemExit) as ended:
        main([str(folder) for folder in folders])
    return ended.value.code


def test_a_copy_is_the_same(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = shutil.copytree(before, before.with_name("after"))
    assert status(before, after) == 0
    assert capsys.readouterr().out == "1 of 1 images are the same\n"


@pytest.mark.parametrize("changed", ["findings.json", "instances.nii.gz", "nothing left"])
def test_a_change_is_named(before: Path, changed: str, capsys: pytest.CaptureFixture[str]) -> None:
    after = shutil.copytree(before, before.with_name("after"))
    if changed == "findings.json":
        (after / "a" / changed).write_text(json.dumps(dict.fromkeys(COMPARED, 0) | {"rows": 1}), encoding="utf-8")
    elif changed == "instances.nii.gz":
        nibabel.nifti1.Nifti1Image(np.ones((4, 4, 1), np.uint8), np.eye(4)).to_filename(after / "a" / changed)
    else:
        shutil.rmtree(after / "a")
    assert status(before, after) == 1
    named = {"findings.json": "a: rows", "nothing left": "a: no findings.json"}.get(changed, f"a: {changed}")
    assert capsys.readouterr().out.splitlines() == [named, "0 of 1 images are the same"]


def test_wrong_arguments_end_in_one_line(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert status(before / "a" / "none", before) == 2
    assert "want a folder of results" in capsys.readouterr().err.splitlines()[-1]
