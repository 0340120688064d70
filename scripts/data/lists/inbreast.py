"""The data list of INbreast (Moreira et al., Academic Radiology 19, 2012)."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from scripts.data.labels.inbreast_xml import annotation_of, read_rois
from scripts.data.lists.items import check_each_once, make_item
from scripts.data.reader.errors import check_file
from scripts.data.splits import Datalist, Item, keep_annotated, split_datalist
from scripts.data.text_files import csv_rows

logger = logging.getLogger(__name__)

IMAGE_NAME = re.compile(
    r"^(?P<image_id>\d+)_(?P<patient>[0-9a-f]+)_MG_(?P<laterality>[LR])_(?P<view>[A-Z]+)_ANON\.dcm$", re.IGNORECASE
)


def inbreast_datalist(
    dataset_dir: str | Path,
    validation_fraction: float = 0.1977,
    test_fraction: float = 0.2093,
    seed: int = 0,
    annotations: Sequence[str] = ("full",),
) -> Datalist:
    """List INbreast images with their annotation files, split by patient, in order of image_id (see docs/data.md).

    The images and the XML files may lie in any folders under `dataset_dir` (the release has ``AllDICOMs`` and
    ``AllXML``). An image without an XML file truly holds no finding in INbreast: it gets the label "" and the
    annotation "none", and is a valid negative. So is one whose XML holds other findings only. The ACR density class of
    the release's ``INbreast.csv``, where it is there, becomes the item's "density" ("ACR 3"). No image, one that is
    there twice, or a broken XML file or INbreast.csv is a MammogramReadError.

    By default 17 of 86 patients are validation, as in HDoGReg (arXiv 2102.00754, section IV-A), and 18 testing;
    HDoGReg's own lists of patients are not published. `annotations` are those of the images to keep after the split:
    "full" (MCs labelled one by one; HDoGReg used these), "clusters_only" (MCs known to be there but not labelled),
    "none".
    """
    items = _find_images(Path(dataset_dir))
    datalist = keep_annotated(split_datalist(items, validation_fraction, test_fraction, seed), annotations)
    logger.info("INbreast: %s", {section: len(kept) for section, kept in datalist.items()})
    return datalist


def _find_images(folder: Path) -> list[Item]:
    """All images under `folder` as items, with their annotation files read once to judge them."""
    files = sorted(path for path in folder.rglob("*") if not path.name.startswith("."))
    labels = {path.stem: path for path in files if path.suffix.lower() == ".xml" and path.stem.isdigit()}
    tables = [path for path in files if path.name.lower() == "inbreast.csv"]
    densities = _acr_densities(tables[0]) if tables else {}
    items: list[Item] = []
    for path in files:
        name = IMAGE_NAME.match(path.name)
        if name is None:
            continue
        facts, label = name.groupdict(), labels.get(name["image_id"])
        facts["patient"] = facts["patient"].lower()
        if facts["view"].upper() == "ML":  # how INbreast writes its mediolateral oblique views
            facts["view"] = "MLO"
        if tables:
            facts["density"] = densities.get(name["image_id"], "")
        annotation = "none" if label is None else annotation_of(read_rois(label))
        items.append(make_item(path, label, annotation=annotation, **facts))
    want = "files like 20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm in it or below"
    check_file(folder, items, "no INbreast image", want)
    check_each_once(folder, [(item["image"], item) for item in items], ["image_id"])
    lost = sorted(set(labels) - {item["image_id"] for item in items})
    if lost:
        logger.warning("INbreast: %d XML files belong to no image, e.g. %s", len(lost), labels[lost[0]])
    return sorted(items, key=lambda item: item["image_id"])


def _acr_densities(table: Path) -> dict[str, str]:
    """ACR density class by image_id, as text ("ACR 3"), from the release's table: semicolons, one row per image."""
    want = "'File Name' and 'ACR', divided by semicolons"
    _, rows = csv_rows(table, want, ("file name", "acr"), delimiter=";", errors="replace")
    return {row["file name"]: f"ACR {row['acr']}" for _, row in rows if row.get("file name") and row.get("acr")}
