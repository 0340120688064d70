"""The calcification data list of CBIS-DDSM (Lee et al., Scientific Data 4:170177, 2017): digitised film.

Its regions of interest (ROIs) outline whole groups of calcifications, not single ones, so they become ignore
regions (label 2, annotation "clusters_only"). The tables name files of a former download, and name the ROI mask and
the cropped picture in either order; only the first folder of a path still holds. Files are therefore found by
that folder, and the mask is told apart by its size and content.
"""

import logging
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from scripts.data.lists.items import make_item, shared_patients
from scripts.data.reader.errors import MammogramReadError, check_file
from scripts.data.reader.mammogram_reader import read_values
from scripts.data.splits import Datalist, Item, patient_split
from scripts.data.text_files import csv_rows

logger = logging.getLogger(__name__)

TABLES = {"training": "calc_case_description_train_set.csv", "testing": "calc_case_description_test_set.csv"}
PATIENT, SIDE, VIEW = "patient id", "left or right breast", "image view"
IMAGE, MASK = "image file path", "roi mask file path"
COLUMNS = (PATIENT, SIDE, VIEW, "abnormality id", IMAGE, MASK)
SERIES_FOLDER = re.compile(r"^Calc-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?$", re.IGNORECASE)


def cbis_ddsm_datalist(dataset_dir: str | Path, validation_fraction: float = 0.15, seed: int = 0) -> Datalist:
    """List the calcification images of CBIS-DDSM (items as in docs/data.md).

    The published training / test division is kept; validation images come from the training patients. All
    abnormalities of an image share one item, whose "label" lists their masks. Images whose file, or whose mask of
    any abnormality, is missing are left out with a warning: an unmasked group would be a wrong negative. Film scans
    have no pixel spacing: set the reader's default spacing (DDSM scanners: 0.042 to 0.050 mm). A missing table or
    column, or not one image, is a MammogramReadError.

    `dataset_dir` holds the two `TABLES` and the images, each in any folder below. The validation fraction is that of
    the training patients; 0 leaves the section empty.
    """
    root = Path(dataset_dir)
    files = _files_by_folder(root)
    published = {section: _read_items(_read_table(root, name), files, name) for section, name in TABLES.items()}
    want = "folders like Calc-Training_P_00005_RIGHT_CC with DICOM files"
    check_file(dataset_dir, any(published.values()), "no image of the tables", want)
    if shared := shared_patients(published):
        logger.warning("CBIS-DDSM: patients in both published sections: %s", list(shared))
    training, validation = patient_split(published["training"], (1 - validation_fraction, validation_fraction), seed)
    return {"training": training, "validation": validation, "testing": published["testing"]}


def _read_items(table: list[dict[str, str]], files: dict[str, list[Path]], name: str) -> list[Item]:
    """Items of the table of this name, one for each image with a full set of masks."""
    rows: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in table:
        rows[_first_folder(row[IMAGE])].append(row)
    complete = []
    for image_id, abnormalities in sorted(rows.items()):
        image = max(files.get(image_id.lower(), []), key=lambda path: np.prod(_header_shape(path)), default=None)
        if image is None:
            continue
        shape, row = _header_shape(image), abnormalities[-1]
        folders = sorted({_first_folder(row[MASK]) for row in abnormalities})
        masks = [mask for folder in folders if (mask := _find_mask(files.get(folder.lower(), []), shape, folder))]
        if len(masks) == len(folders):
            texts = {"patient": row[PATIENT], "laterality": row[SIDE], "view": row[VIEW]}
            complete.append(make_item(image, masks, image_id=image_id, annotation="clusters_only", **texts))
    if len(complete) < len(rows):
        logger.warning("CBIS-DDSM: %d of %d images of %s left out", len(rows) - len(complete), len(rows), name)
    return complete


def _find_mask(files: list[Path], shape: tuple[int, int], folder: str) -> Path | None:
    """The ROI mask among the DICOM files of one abnormality's folder, the other one being a cropped picture.

    The mask has the (rows, cols) of the full image, the crop is smaller; of several of the full size it is the one with
    at most two grey values. None, with a warning, if there is no such file.
    """
    fitting = [path for path in files if _header_shape(path) == shape]
    if len(fitting) > 1:
        fitting = [path for path in fitting if len(np.unique(read_values(path))) <= 2]
    if len(fitting) == 1:
        return fitting[0]
    logger.warning("CBIS-DDSM: %s has %d masks of the image's size %s; want one", folder, len(fitting), shape)
    return None


def _read_table(folder: Path, name: str) -> list[dict[str, str]]:
    """Rows by column; the tables write spaces in some names and underscores in others."""
    found = sorted(folder.rglob(name))
    check_file(folder, found, f"no {name}", "the table of the CBIS-DDSM download in it or below")
    _, rows = csv_rows(found[0], f"the columns {COLUMNS}")
    cells = [{column.replace("_", " "): cell for column, cell in row.items()} for _, row in rows]
    check_file(found[0], cells, "no rows", f"the columns {COLUMNS}")
    missing = [column for column in COLUMNS if column not in cells[0]]
    check_file(found[0], not missing, f"no columns {missing}", f"the columns {COLUMNS}")
    return cells


def _files_by_folder(folder: Path) -> dict[str, list[Path]]:
    """DICOM files by the (lower-case) name of the enclosing folder of the form Calc-Training_P_00005_RIGHT_CC[_1]."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.dcm")):
        series = next((parent.name.lower() for parent in path.parents if SERIES_FOLDER.match(parent.name)), "")
        if series and not path.name.startswith("."):
            files[series].append(path)
    return files


def _first_folder(path: str) -> str:
    return path.replace("\\", "/").strip("/").split("/")[0].strip()


def _header_shape(path: Path) -> tuple[int, int]:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    except InvalidDicomError as error:
        raise MammogramReadError(path, f"no DICOM file ({error})", "a file of the CBIS-DDSM download") from error
    return int(header.get("Rows", 0)), int(header.get("Columns", 0))
