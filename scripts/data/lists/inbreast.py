"""The data list of INbreast (Moreira et al., Academic Radiology 19, 2012)."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from scripts.data.labels.inbreast_xml import annotation_of, read_rois
from scripts.data.reader.errors import MammogramReadError
from scripts.data.splits import ANNOTATIONS, Datalist, Item, keep_annotated, split_datalist

logger = logging.getLogger(__name__)

IMAGE_NAME = re.compile(
    r"^(?P<image_id>\d+)_(?P<patient>[0-9a-f]+)_MG_(?P<laterality>[LR])_(?P<view>[A-Z]+)_ANON\.dcm$", re.IGNORECASE
)
FILE_NAME, ACR = "File Name", "ACR"  # columns of INbreast.csv
VIEWS = {"ML": "MLO"}  # INbreast writes ML for its mediolateral oblique views


def inbreast_datalist(
    dataset_dir: str | Path,
    validation_fraction: float = 17 / 86,
    test_fraction: float = 18 / 86,
    seed: int = 0,
    folds: int = 0,
    fold: int = 0,
    annotations: Sequence[str] = ANNOTATIONS,
) -> Datalist:
    """List INbreast images with their annotation files, split by patient.

    The images and the XML files may lie in any folders under `dataset_dir` (the release has ``AllDICOMs`` and
    ``AllXML``). An image without an XML file truly holds no finding in INbreast: it gets the label "" and the
    annotation "none", and is a valid negative. So is one whose XML holds other findings only. The ACR density class of
    the release's ``INbreast.csv``, where it is there, becomes the item's "density" ("ACR 3").

    Args:
        dataset_dir: folder of the release.
        validation_fraction: of the patients (default: 17 of 86, as in HDoGReg, arXiv 2102.00754, section IV-A).
        test_fraction: of the patients (default: 18 of 86). HDoGReg's own lists of patients are not published.
        seed: of the split.
        folds: 0, or the number of folds of a cross-validation (see `split_datalist`).
        fold: the fold that is tested.
        annotations: which images to keep after the split: "full" (MCs labelled one by one; HDoGReg used these),
            "clusters_only" (MCs known to be there but not labelled), "none".

    Returns:
        {"training": items, "validation": items, "testing": items}, items as in docs/data.md, in order of image_id.

    Raises:
        MammogramReadError: no image is found, an image is there twice, or an XML file or INbreast.csv is broken.
    """
    items = find_images(dataset_dir)
    datalist = keep_annotated(split_datalist(items, validation_fraction, test_fraction, seed, folds, fold), annotations)
    logger.info("INbreast: %s", {part: len(kept) for part, kept in datalist.items()})
    return datalist


def find_images(dataset_dir: str | Path) -> list[Item]:
    """All images under `dataset_dir` as items, with their annotation files read once to judge them."""
    folder = Path(dataset_dir)
    files = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    labels = {path.stem: path for path in files if path.suffix.lower() == ".xml" and path.stem.isdigit()}
    tables = [path for path in files if path.name.lower() == "inbreast.csv"]
    densities = acr_densities(tables[0]) if tables else {}
    items: dict[str, Item] = {}
    for path in files:
        match = IMAGE_NAME.match(path.name)
        if match is None:
            continue
        image_id, view = match["image_id"], match["view"].upper()
        if image_id in items:
            raise MammogramReadError(path, f"image {image_id} again as {items[image_id]['image']}", "each image once")
        label = labels.pop(image_id, None)
        items[image_id] = {
            "image": str(path),
            "label": "" if label is None else str(label),
            "patient": match["patient"].lower(),
            "image_id": image_id,
            "laterality": match["laterality"].upper(),
            "view": VIEWS.get(view, view),
            "annotation": "none" if label is None else annotation_of(read_rois(label)),
        } | ({"density": densities.get(image_id, "")} if tables else {})
    if not items:
        raise MammogramReadError(
            folder, "no INbreast image", "files like 20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm in it or below"
        )
    if labels:
        logger.warning("INbreast: %d XML files belong to no image, e.g. %s", len(labels), next(iter(labels.values())))
    return [items[image_id] for image_id in sorted(items)]


def acr_densities(path: Path) -> dict[str, str]:
    """ACR density class by image_id, as text ("ACR 3"), from the release's table: semicolons, one row per image.

    Raises:
        MammogramReadError: it has not the columns "File Name" and "ACR".
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(file, delimiter=";")
        header = [name.strip() for name in next(lines, [])]
        if FILE_NAME not in header or ACR not in header:
            raise MammogramReadError(path, f"the columns {header}", f"{FILE_NAME!r} and {ACR!r}, divided by semicolons")
        places = header.index(FILE_NAME), header.index(ACR)
        rows = [[row[place].strip() for place in places] for row in lines if len(row) > max(places)]
    return {name: f"ACR {density}" for name, density in rows if name and density}
