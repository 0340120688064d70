"""Listing inputs and surviving bad ones."""

import pytest

from scripts.data.lists.folder import FAILURE, TolerantDataset, describe_failure, list_mammograms


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


def test_earlier_results_below_the_input_are_no_input(tmp_path):
    touch(tmp_path, "a.dcm", "out/run_report.json", "out/a/mask.nii.gz", "out/a/picture.png")
    assert [item["image_id"] for item in list_mammograms(tmp_path)] == ["a"]


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
        FAILURE: {"file": "bad", "stage": "reading", "reason": "ValueError: bad: got text; want an image"},
    }
    assert describe_failure("f", "writing", OSError("disk full"))["reason"] == "OSError: disk full"
