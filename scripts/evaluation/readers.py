"""Do two readers agree, or a reader and the bundle's masks: two folders of labels, compared image by image.

Labels are matched by file name without suffix. A file that has no partner or cannot be read is named and left out.
Definitions: docs/metrics.md, "Agreement".
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask
from scripts.common.files import json_values
from scripts.data.labels.annotations import load_label
from scripts.data.lists.folder import REPORT_NAME
from scripts.data.reader.mammogram_reader import Reading, read_mammogram, read_values
from scripts.evaluation.agreement import agreement, cell_table, cohen_kappa, reader_case, specific_agreement
from scripts.evaluation.cases import HitRule
from scripts.evaluation.matching import GREEDY, Matched, match_case
from scripts.evaluation.statistics import Bootstrap, Interval, bootstrap_weights

logger = logging.getLogger(__name__)

MASK_NAME = "mask.nii.gz"
#: labels that do not say how large their image is
POINTS = (".csv", ".json", ".xml")
NO_LABELS = (".txt", ".md", ".log", ".html", ".pdf")
Files = Mapping[str, Sequence[Path]]


def named_files(folder: str | Path) -> Files:
    """Files of a folder and its sub-folders by name: the path below it without suffix; ValueError without a file.

    An output folder of the bundle (with a run report) holds one `mask.nii.gz` per image, named by its folder.
    """
    root = Path(folder).expanduser()
    found = defaultdict(list)
    of_bundle = (root / REPORT_NAME).is_file()
    for path in sorted(root.rglob(MASK_NAME if of_bundle else "*")):
        below = path.relative_to(root)
        if of_bundle:
            found[below.parent.as_posix()].append(path)
        elif path.is_file() and path.suffix.lower() not in NO_LABELS and not any(p[0] == "." for p in below.parts):
            found[below.with_name(Path(path.name.removesuffix(".gz")).stem).as_posix()].append(path)
    if not found:
        raise ValueError(f"{folder}: got no file; want a folder of labels, or an output folder of the bundle")
    return dict(found)


def compare_readers(
    first_dir: str | Path,
    second_dir: str | Path,
    images_dir: str | Path | None = None,
    spacing_mm: float = 0.07,
    rule: HitRule | None = None,
    cell_mm: float = 2.0,
    matching: str = GREEDY,
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Agreement of two folders of labels (docs/data.md, "Label files"): what the output file holds.

    `images_dir` holds the mammograms by the same names, for pixel spacing and breast mask. Where it is None the whole
    image is compared; where no image gives a pixel spacing it is `spacing_mm`. `rule` (None is the paper's) and
    `matching` say when two objects are the same, `cell_mm` is the side of the cells of kappa, and the bootstrap is over
    images. "unmatched" and "failures" name what was left out.
    """
    rule, bootstrap = rule or HitRule(), Bootstrap(samples, seed=seed)
    first, second = named_files(first_dir), named_files(second_dir)
    images = None if images_dir is None else named_files(images_dir)
    cases, failures = [], []
    for name in tqdm(sorted(first.keys() & second.keys()), unit="image", disable=None):
        try:
            labels = _only(first, name), _only(second, name)
            breast, spacing = _breast(labels, None if images is None else _only(images, name), spacing_mm)
            both = [load_label(path, (breast.shape[0], breast.shape[1]), spacing) for path in labels]
            cases.append(reader_case(both[0], both[1], breast, spacing, rule, cell_mm, case_id=name))
        except (ValueError, OSError) as error:
            failures.append({"image": name, "reason": str(error)})
            logger.error("left out: %s", error)
    found = agreement(cases, 1.0, bootstrap_weights([case.case_id for case in cases], samples, seed), matching)
    unmatched = {"first": sorted(first.keys() - second.keys()), "second": sorted(second.keys() - first.keys())}
    for which, names in unmatched.items():
        for name in names:
            logger.error("%s has no partner: %s", which, name)
    rows = [_row(match_case(case, 1.0, matching)) for case in cases]
    folders = {"first": str(first_dir), "second": str(second_dir), "images": images_dir and str(images_dir)}
    hits = {"hit_distance_mm": rule.distance_mm, "hit_iou": rule.iou, "matching": matching}
    return json_values(
        {
            "images": len(cases),
            "objects": {key: sum(row[key] for row in rows) for key in ("both", "first_alone", "second_alone")},
            **{key: value.as_json() if isinstance(value, Interval) else value for key, value in found.items()},
            "per_image": rows,
            "unmatched": unmatched,
            "failures": failures,
            "settings": folders | {"spacing_mm": spacing_mm} | hits,
            "bootstrap": asdict(bootstrap),
        }
    )


def _only(files: Files, name: str) -> Path:
    paths = files.get(name, ())
    if len(paths) != 1:
        found = ", ".join(str(path) for path in paths) or "no file"
        raise ValueError(f"{name}: got {found}; want one file of this name in each folder")
    return paths[0]


def _breast(labels: Sequence[Path], image: Path | None, spacing_mm: float) -> tuple[np.ndarray, tuple[float, float]]:
    """Mask of what is compared, bool (rows, cols), and pixel spacing: of the image, else the whole label."""
    if image is not None:
        pixels, meta = read_mammogram(image, Reading(default_spacing_mm=spacing_mm))
        spacing = (float(meta["spacing_mm"][0]), float(meta["spacing_mm"][1]))
        return breast_mask(pixels, spacing[0]), spacing
    masks = [path for path in labels if path.suffix.lower() not in POINTS]
    if not masks:
        raise ValueError(f"{labels[0]}: got points for both labels; want --images, to know the image's size")
    return np.ones(read_values(masks[0]).shape, bool), (spacing_mm, spacing_mm)


def _row(matched: Matched) -> dict[str, Any]:
    both, other = int(matched.hit.sum()), int(matched.false_positive.sum())
    alone = int(matched.hit.size) - both
    row = {"image": matched.case.case_id, "both": both, "first_alone": alone, "second_alone": other}
    agreed, kappa = specific_agreement(both, other, alone), float(cohen_kappa(cell_table(matched)))
    return row | {"specific_agreement": agreed, "kappa": kappa}
