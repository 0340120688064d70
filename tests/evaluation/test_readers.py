"""Two folders of labels: agreement by hand, formats, and everything that does not fit named and left out."""

import json

import nibabel
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from scripts.evaluation.__main__ import main
from scripts.evaluation.readers import compare_readers, named_files
from tests.data.inbreast_factory import point, write_dicom, write_xml

#: pixels of 0.1 mm, cells of 1 mm: 16 cells in 40 x 40 px
OPTIONS = {"spacing_mm": 0.1, "cell_mm": 1.0, "samples": 200}


def label(*boxes, shape=(40, 40), value=1):
    array = np.zeros(shape, np.uint8)
    for row, col, height, width in boxes:
        array[row : row + height, col : col + width] = value
    return array


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array * np.uint8(255)).save(path)


#: Image a. Both: one object, 0.2 mm apart over a border of cells. First alone: one. Second alone: two.
A = label((2, 8, 2, 2), (22, 22, 2, 2)), label((2, 10, 2, 2), (33, 3, 2, 2), (37, 7, 2, 2))
#: Image b. Both: one.
B = label((15, 15, 3, 3)), label((15, 15, 3, 3))
#: cells of a: the second one's two objects are in one cell
CELLS_A, CELLS_B = ([1, 1, 0] + [0] * 13, [1, 0, 1] + [0] * 13), ([1] + [0] * 15, [1] + [0] * 15)


@pytest.fixture
def readers(tmp_path):
    for name, pair in (("a", A), ("sub/b", B)):
        for reader, array in zip(("one", "two"), pair, strict=True):
            write(tmp_path / reader / f"{name}.png", array)
    return tmp_path / "one", tmp_path / "two"


def test_agreement_by_hand(readers):
    found = compare_readers(*readers, **OPTIONS)
    assert found["images"] == 2 and found["unmatched"] == {"first": [], "second": []} and not found["failures"]
    assert found["objects"] == {"both": 2, "first_alone": 1, "second_alone": 2}
    assert found["specific_agreement"]["value"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert found["cells"] == {"both": 2, "first": 1, "second": 1, "neither": 28, "side_mm": 1.0}
    kappa = cohen_kappa_score(*(np.concatenate([a, b]) for a, b in zip(CELLS_A, CELLS_B, strict=True)))
    assert found["kappa"]["value"] == pytest.approx(kappa)
    rows = {row["image"]: row for row in found["per_image"]}
    assert rows["a"]["specific_agreement"] == pytest.approx(2 / 5) and rows["sub/b"]["specific_agreement"] == 1
    assert rows["a"]["kappa"] == pytest.approx(cohen_kappa_score(*CELLS_A)) and rows["sub/b"]["kappa"] == 1
    # two images: the bootstrap draws a alone, both, or b alone
    assert found["specific_agreement"]["low"] == pytest.approx(2 / 5) and found["specific_agreement"]["high"] == 1
    back = compare_readers(*readers[::-1], **OPTIONS)
    for name in ("specific_agreement", "kappa"):
        assert back[name] == pytest.approx(found[name])
    assert compare_readers(readers[0], readers[0], **OPTIONS)["kappa"]["value"] == 1


def test_the_spacing_decides_what_is_the_same_object(readers):
    found = compare_readers(*readers, **(OPTIONS | {"spacing_mm": 0.2}))  # 2 px are 0.4 mm, no overlap
    assert found["objects"] == {"both": 1, "first_alone": 2, "second_alone": 3}


def test_a_reader_and_the_bundles_results(readers, tmp_path):
    """An output folder of inference: mask.nii.gz in a folder per image, columns first as NIfTI has them."""
    results = tmp_path / "results"
    for name, (_, array) in (("a", A), ("sub/b", B)):
        (results / name).mkdir(parents=True)
        volume = nibabel.Nifti1Image(array.T, np.diag([-0.1, -0.1, 1, 1]))
        nibabel.save(volume, results / name / "mask.nii.gz")
        nibabel.save(volume, results / name / "instances.nii.gz")
        (results / name / "findings.json").write_text("{}")
    (results / "run_report.json").write_text("{}")
    assert list(named_files(results)) == ["a", "sub/b"]
    expected = compare_readers(*readers, **OPTIONS)
    found = compare_readers(readers[0], results, **OPTIONS)
    for name in ("objects", "specific_agreement", "kappa", "per_image"):
        assert found[name] == expected[name]


def test_images_give_spacing_size_and_breast(readers, tmp_path):
    """Points for both readers; the lower half of the image is air, where cells do not count."""
    for reader, centre in (("p", 30), ("q", 32)):
        write_xml(tmp_path / reader / "a.xml", [point(centre + 0.5, 20.5)])
    pixels = np.zeros((400, 200), np.uint16)
    pixels[:200] = 30000
    write_dicom(tmp_path / "images" / "a.dcm", pixels, ImagerPixelSpacing=[0.1, 0.1])
    found = compare_readers(tmp_path / "p", tmp_path / "q", tmp_path / "images", cell_mm=1.0, samples=10)
    assert found["objects"] == {"both": 1, "first_alone": 0, "second_alone": 0}  # 0.2 mm; at 0.07 mm it would be, too
    assert found["cells"]["neither"] == pytest.approx(20 * 20 - 1, abs=20) and found["cells"]["both"] == 1
    far = compare_readers(tmp_path / "p", tmp_path / "p", tmp_path / "images", spacing_mm=9.0, cell_mm=1.0, samples=10)
    assert far["cells"]["side_mm"] == 1.0  # the image's own spacing counts, 9 mm would not fit into a cell
    without = compare_readers(tmp_path / "p", tmp_path / "q", samples=10)
    assert without["images"] == 0 and "--images" in without["failures"][0]["reason"]


def test_what_does_not_fit_is_named_and_left_out(readers, tmp_path):
    one, two = readers
    write(one / "only_one.png", A[0])
    write(two / "only_two.png", A[0])
    for folder in readers:
        write(folder / "other_size.png", label(shape=(30, 30) if folder == one else (30, 31)))
        write(folder / "twice.png", A[0])
        write(folder / "broken.png", A[0])
        (folder / "notes.txt").write_text("no label")
    (two / "twice.csv").write_text("row,col\n")
    (one / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    expected = compare_readers(*(tmp_path / name for name in ("one", "two")), **OPTIONS)
    options = ["--spacing-mm", "0.1", "--cell-mm", "1", "--samples", "200", "--output", tmp_path / "found.json"]
    assert main(["readers", *(str(word) for word in (one, two, *options))]) == 1
    found = json.loads((tmp_path / "found.json").read_text(), parse_constant=pytest.fail)
    assert found == json.loads(json.dumps(expected))
    assert found["unmatched"] == {"first": ["only_one"], "second": ["only_two"]}
    reasons = {failure["image"]: failure["reason"] for failure in found["failures"]}
    assert set(reasons) == {"other_size", "twice", "broken"}
    assert "twice.csv" in reasons["twice"] and "broken.png" in reasons["broken"] and "(30, 30)" in reasons["other_size"]
    assert found["images"] == 2 and found["specific_agreement"]["value"] == pytest.approx(4 / 7)  # the rest is compared


def test_the_exit_status_is_zero_when_all_fits_and_two_without_folders(readers, tmp_path):
    words = ["readers", *(str(folder) for folder in readers), "--samples", "5"]
    assert main([*words, "--output", str(tmp_path / "found.json")]) == 0
    assert json.loads((tmp_path / "found.json").read_text())["images"] == 2
    words = ["readers", str(readers[0]), str(tmp_path / "nowhere"), "--output", str(tmp_path / "none.json")]
    assert main(words) == 2 and not (tmp_path / "none.json").exists()


def test_empty_labels_and_no_common_image(tmp_path):
    for reader in ("one", "two"):
        write(tmp_path / reader / "empty.png", label())
    found = compare_readers(tmp_path / "one", tmp_path / "two", **OPTIONS)
    assert found["specific_agreement"]["value"] is None is found["kappa"]["value"]  # nobody marked anything
    write(tmp_path / "three" / "else.png", label())
    none = compare_readers(tmp_path / "one", tmp_path / "three", **OPTIONS)
    assert none["images"] == 0 and none["specific_agreement"]["value"] is None
    assert none["unmatched"] == {"first": ["empty"], "second": ["else"]}
