"""Listing inputs and surviving bad ones."""

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.data.lists.folder import FAILURE, TolerantDataset, describe_failure, list_mammograms, result_ids


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_a_folder_is_searched_and_what_cannot_be_an_image_is_passed_over(tmp_path):
    touch(tmp_path, "b.dcm", "a/one.png", "a/no_suffix", "notes.txt", "DICOMDIR", ".hidden/x.png", "t.csv", "v.nii.gz")
    found = list_mammograms(tmp_path)
    assert [item["image_id"] for item in found] == ["a/no_suffix", "a/one", "b", "v"]
    assert found[1]["image"] == str(tmp_path / "a" / "one.png")


def test_files_that_differ_only_in_the_suffix_get_names_of_their_own(tmp_path):
    touch(tmp_path, "x.png", "x.dcm", "y.png", "1.2.840.10008")
    assert [i["image_id"] for i in list_mammograms(tmp_path)] == ["1.2.840.10008", "x.dcm", "x.png", "y"]


def test_no_two_images_share_a_name_whatever_they_are_called(tmp_path):
    touch(tmp_path, "x.png", "x.dcm", "x.png.dcm", "X.tif", "z.dcm")
    names = [item["image_id"] for item in list_mammograms(tmp_path)]
    assert len({name.casefold() for name in names}) == 5 and "z" in names


def write_results(folder, report=True):
    """What a run leaves of one image, as far as it is known by."""
    folder.mkdir(parents=True)
    image = nibabel.Nifti1Image(np.zeros((4, 4), np.uint8), np.eye(4))
    image.header["descrip"] = "microcalcification mask"
    nibabel.save(image, folder / "mask.nii.gz")
    touch(folder, "picture.png")
    if report:
        (folder / "findings.json").write_text('{\n  "schema": "microcalcification-findings-2"\n}')


@pytest.mark.parametrize("report", [True, False])
def test_results_are_no_input_and_hide_nothing_else(tmp_path, caplog, report):
    write_results(tmp_path / "a", report)
    touch(tmp_path, "a.dcm", "a/own.png", "run_report.json", "b/picture.png", "b/mask.nii.gz", "c/findings.json")
    assert [item["image_id"] for item in list_mammograms(tmp_path)] == ["a/own", "a", "b/mask", "b/picture"]
    assert f"2 results of this bundle, {2 + report} whose suffix is no image's" in caplog.text


def test_linked_folders_are_searched_once_and_circles_end(tmp_path, caplog):
    touch(tmp_path / "elsewhere", "x.png", "deep/y.png")
    touch(tmp_path / "in", "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "in" / "twice").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nothing.png")
    assert [item["image_id"] for item in list_mammograms(tmp_path / "in")] == ["a", "link/deep/y", "link/x"]
    assert "1 broken links, devices or pipes, 2 folders linked to one that is searched already" in caplog.text


NAMES = [
    ("a.png", "a"),
    ("b/c.nii.gz", "b/c"),
    ("x.png", "x.png"),
    ("x.dcm", "x.dcm"),
    ("a/mask.nii.gz.dcm", "a/mask.nii.gz_"),
    ("run_report.json.dcm", "run_report.json_"),
    ("Findings.JSON.png", "Findings.JSON_"),
    ("q\udcff.png", "q%FF.png"),
    ("q%FF.png", "q%FF.png~2"),
    ("esc\x1b[1m\n.png", "esc%1B[1m%0A"),
    ("U.tif", "U.tif"),
    ("u.tif", "u.tif~2"),
]


def test_names_of_results_cannot_collide():
    names, wanted = zip(*NAMES, strict=True)
    assert result_ids(names) == list(wanted)


@given(st.lists(st.text("aA.%~/_\udcff\x1bé$ =", min_size=1, max_size=6), unique=True, max_size=8))
def test_whatever_the_names_are(names):
    names = [name for name in dict.fromkeys(name.strip("/") for name in names) if name and "//" not in name]
    ids = result_ids([f"{name}.png" for name in names])
    assert len({name.casefold() for name in ids}) == len(names)
    assert all(name.isprintable() for name in ids)


def test_a_folder_named_by_a_number_and_a_tuple_from_the_command_line(tmp_path, monkeypatch):
    touch(tmp_path, "123/a.dcm")
    monkeypatch.chdir(tmp_path)
    assert list_mammograms(123)[0]["image_id"] == "a"
    with pytest.raises(TypeError, match="input_dir"):
        list_mammograms(("a", "b"))


def test_one_file_is_taken_whatever_its_suffix(tmp_path):
    touch(tmp_path, "scan.txt")
    assert list_mammograms(tmp_path / "scan.txt") == [{"image": str(tmp_path / "scan.txt"), "image_id": "scan.txt"}]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_to_do_is_an_error_that_names_the_folder(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=name):
        list_mammograms(tmp_path / name)


def test_a_bad_item_becomes_a_record_with_the_reason_that_names_the_file():
    def transform(item):
        if item["image"] == "bad":
            try:
                try:
                    raise KeyError("a decoder's own words")
                except KeyError as cause:
                    raise ValueError("bad: got text; want an image") from cause
            except ValueError as error:
                raise RuntimeError("applying transform") from error
        return item | {"read": True}

    data = TolerantDataset([{"image": "good", "image_id": "g"}, {"image": "bad", "image_id": "b"}], transform)
    assert data[0]["read"]
    assert data[1] == {
        "image_id": "b",
        FAILURE: {
            "status": "failed",
            "file": "bad",
            "stage": "reading",
            "reason": "ValueError: bad: got text; want an image",
        },
    }
    assert describe_failure("f", "writing", OSError("disk full"))["reason"] == "OSError: disk full"
