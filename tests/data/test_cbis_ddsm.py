"""A miniature CBIS-DDSM download: tables as published, folders as the current download makes them."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser

from scripts.data.labels.annotations import load_label
from scripts.data.lists.cbis_ddsm import cbis_ddsm_datalist
from scripts.data.reader.errors import MammogramReadError
from tests.data.inbreast_factory import write_dicom

CONFIGS = Path(__file__).parents[2] / "configs"
SHAPE = (12, 10)
HEADER = [
    "patient_id",
    "breast density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "calc type",
    "calc distribution",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
]


class Download:
    """Adds images and abnormalities one by one, then writes the tables."""

    def __init__(self, root):
        self.root, self.rows = root, {"train": [], "test": []}

    def image(self, patient, part="Training", side="LEFT", view="CC"):
        name = f"Calc-{part}_{patient}_{side}_{view}"
        pixels = np.arange(120, dtype=np.uint16).reshape(SHAPE)
        write_dicom(
            self.root / "CBIS-DDSM" / name / "08-07-2016-DDSM-NA-1" / "1.000000-full mammogram-2" / "1-1.dcm", pixels
        )
        return name

    def abnormality(self, image, number, mask_pixels, mask_first=False, crop_shape=(4, 5), mask_shape=SHAPE):
        mask = np.zeros(mask_shape, np.uint8)
        mask[mask_pixels] = 255
        crop = np.arange(np.prod(crop_shape), dtype=np.uint8).reshape(crop_shape)
        folder = self.root / "CBIS-DDSM" / f"{image}_{number}" / "08-30-2017-DDSM-NA-3" / "1.000000-ROI mask images-4"
        write_dicom(folder / ("1-1.dcm" if mask_first else "1-2.dcm"), mask)
        write_dicom(folder / ("1-2.dcm" if mask_first else "1-1.dcm"), crop)
        kind, *patient, side, view = image.split("_")
        former = "1.3.6.1.4.1.9590.100.1.2.1/1.3.6.1.4.1.9590.100.1.2.2"
        crop_path, mask_path = f"{image}_{number}/{former}/000000.dcm\n", f"{image}_{number}/{former}/000001.dcm\n"
        row = ["_".join(patient), 3, side, view, number, "calcification", "PLEOMORPHIC", "CLUSTERED", 4, "BENIGN", 2]
        self.rows["train" if "Training" in kind else "test"].append(
            [*row, f"{image}/{former}/000000.dcm", mask_path, crop_path]  # as published: named the wrong way round
        )

    def write_tables(self):
        for part, rows in self.rows.items():
            with (self.root / f"calc_case_description_{part}_set.csv").open("w", newline="") as file:
                csv.writer(file).writerows([HEADER, *rows])
        return self.root


@pytest.fixture
def download(tmp_path):
    download = Download(tmp_path)
    for number in range(10):
        image = download.image(f"P_{number:05d}")
        download.abnormality(image, 1, np.s_[2:4, 3:6], mask_first=number % 2 == 0)
    image = download.image("P_00000", side="RIGHT", view="MLO")
    download.abnormality(image, 1, np.s_[0, 0])
    download.abnormality(image, 2, np.s_[5:8, 5], mask_first=True)
    download.abnormality(download.image("P_00077", "Test"), 1, np.s_[1, 1])
    return download


def test_items_masks_and_merged_abnormalities(download):
    datalist = cbis_ddsm_datalist(download.write_tables(), validation_fraction=0.3, seed=1)
    assert {part: len({item["patient"] for item in items}) for part, items in datalist.items()} == {
        "training": 7,
        "validation": 3,
        "testing": 1,
    }
    items = {item["image_id"]: item for part in datalist.values() for item in part}
    item = items["Calc-Training_P_00000_RIGHT_MLO"]
    assert [item[key] for key in ("patient", "laterality", "view", "annotation")] == [
        "P_00000",
        "R",
        "MLO",
        "clusters_only",
    ]
    assert "full mammogram" in item["image"] and len(item["label"]) == 2
    wanted = np.zeros(SHAPE)
    wanted[0, 0] = wanted[5:8, 5] = 2
    assert (load_label(item["label"], SHAPE, (0.05, 0.05), item["annotation"]) == wanted).all()


@pytest.mark.parametrize("number", [0, 1])
def test_mask_is_found_in_either_order(download, number):
    items = {item["patient"]: item for part in cbis_ddsm_datalist(download.write_tables()).values() for item in part}
    label = load_label(items[f"P_{number + 2:05d}"]["label"], SHAPE, (0.05, 0.05), "clusters_only")
    assert (label == 2).sum() == 6 and label[2, 3] == 2


def test_mask_is_told_from_a_crop_of_full_size_by_its_content(download):
    image = download.image("P_00500", "Test")
    download.abnormality(image, 1, np.s_[3, 3], mask_first=True, crop_shape=SHAPE)
    items = cbis_ddsm_datalist(download.write_tables())["testing"]
    label = load_label(
        next(item for item in items if item["image_id"] == image)["label"], SHAPE, (1, 1), "clusters_only"
    )
    assert np.argwhere(label).tolist() == [[3, 3]]


def test_images_without_their_files_or_masks_are_left_out_with_a_warning(download, caplog):
    image = download.image("P_00600", "Test")
    download.abnormality(image, 1, np.s_[0, 0])
    download.abnormality(image, 2, np.s_[0, 0], mask_shape=(11, 10))
    download.abnormality("Calc-Test_P_00601_LEFT_CC", 1, np.s_[0, 0])
    with caplog.at_level(logging.WARNING):
        testing = cbis_ddsm_datalist(download.write_tables())["testing"]
    assert [item["patient"] for item in testing] == ["P_00077"]
    assert "P_00600_LEFT_CC_2 has 0 masks" in caplog.text and "2 of 3 images" in caplog.text


def test_no_validation_section(download):
    datalist = cbis_ddsm_datalist(download.write_tables(), validation_fraction=0)
    assert [len(items) for items in datalist.values()] == [11, 0, 1]


def test_patients_in_both_parts_are_reported(download, caplog):
    download.abnormality(download.image("P_00003", "Test"), 1, np.s_[0, 0])
    with caplog.at_level(logging.WARNING):
        cbis_ddsm_datalist(download.write_tables())
    assert "both published sections: ['P_00003']" in caplog.text


def test_missing_tables_columns_images_and_broken_files(download, tmp_path):
    with pytest.raises(MammogramReadError, match=r"no calc_case_description_train_set\.csv"):
        cbis_ddsm_datalist(tmp_path)
    download.write_tables()
    table = tmp_path / "calc_case_description_test_set.csv"
    complete = table.read_text()
    table.write_text(complete.replace("image view", "projection"))
    with pytest.raises(MammogramReadError, match=r"test_set\.csv: got no columns \['image view'\]"):
        cbis_ddsm_datalist(tmp_path)
    table.write_text(",".join(HEADER) + "\n")
    with pytest.raises(MammogramReadError, match="no rows"):
        cbis_ddsm_datalist(tmp_path)
    table.write_text(complete)
    (tmp_path / "CBIS-DDSM" / "Calc-Test_P_00077_LEFT_CC" / "x.dcm").write_bytes(b"truncated")
    with pytest.raises(MammogramReadError, match=r"x\.dcm: got no DICOM file"):
        cbis_ddsm_datalist(tmp_path)
    (tmp_path / "CBIS-DDSM").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "Calc-Test_P_00077_LEFT_CC" / "x.dcm").unlink()
    assert cbis_ddsm_datalist(tmp_path)["testing"]
    for folder in (tmp_path / "elsewhere").iterdir():
        folder.rename(tmp_path / "elsewhere" / f"renamed-{folder.name}")
    with pytest.raises(MammogramReadError, match="no image of the tables"):
        cbis_ddsm_datalist(tmp_path)


def test_overlay(download):
    parser = ConfigParser(ConfigParser.load_config_file(CONFIGS / "data_cbis_ddsm.json"))
    parser["dataset_dir"] = str(download.write_tables())
    parser["source::validation_fraction"] = 0.5
    datalist = parser.get_parsed_content("source")
    assert [len({item["patient"] for item in items}) for items in datalist.values()] == [5, 5, 1]
