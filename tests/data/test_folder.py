"""Listing inputs and surviving bad ones."""

import pytest

from scripts.data.folder import FAILURE, TolerantDataset, describe_failure, list_mammograms


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


def test_one_file_is_taken_whatever_its_suffix(tmp_path):
    touch(tmp_path, "scan.txt")
    assert list_mammograms(tmp_path / "scan.txt") == [{"image": str(tmp_path / "scan.txt"), "image_id": "scan.txt"}]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_nothing_to_do_is_an_error_that_names_the_folder(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=name):
        list_mammograms(tmp_path / name)


def test_a_bad_item_becomes_a_record_with_the_innermost_reason(tmp_path):
    def transform(item):
        if item["image"] == "bad":
            try:
                raise ValueError("bad: found text; wanted an image")
            except ValueError as error:
                raise RuntimeError("applying transform") from error
        return item | {"read": True}

    data = TolerantDataset([{"image": "good", "image_id": "g"}, {"image": "bad", "image_id": "b"}], transform)
    assert data[0]["read"]
    assert data[1] == {
        "image_id": "b",
        FAILURE: {"file": "bad", "stage": "reading", "reason": "ValueError: bad: found text; wanted an image"},
    }
    assert describe_failure("f", "writing", OSError("disk full"))["reason"] == "OSError: disk full"
