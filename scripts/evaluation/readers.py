"""Do two readers agree, or a reader and the bundle's masks: two folders of labels, compared image by image.

    python -m scripts.evaluation.readers FIRST SECOND --output agreement.json [--images FOLDER]

Labels are matched by file name without suffix. The exit status is 1 when a file has no partner or cannot be read; it is
then named and left out. Definitions: docs/metrics.md, "Agreement".
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask
from scripts.common.files import json_values, write_json
from scripts.data.labels.annotations import load_label
from scripts.data.lists.folder import REPORT_NAME
from scripts.data.reader.mammogram_reader import read_mammogram, read_values
from scripts.evaluation.agreement import agreement, cell_table, cohen_kappa, reader_case, specific_agreement
from scripts.evaluation.cases import CaseScores, HitRule
from scripts.evaluation.matching import GREEDY, OPTIMAL, match_case
from scripts.evaluation.statistics import Interval, bootstrap_weights

logger = logging.getLogger(__name__)

MASK_NAME = "mask.nii.gz"
#: labels that do not say how large their image is
POINTS = (".csv", ".json", ".xml")
NO_LABELS = (".txt", ".md", ".log", ".html", ".pdf")
Files = dict[str, list[Path]]


def named_files(folder: str | Path) -> Files:
    """Files of a folder and its sub-folders by name: the path below the folder without suffix.

    An output folder of the bundle (with a run report) holds one `mask.nii.gz` per image, named by its folder.

    Raises:
        ValueError: the folder does not exist, or holds no file.
    """
    root = Path(folder).expanduser()
    found: Files = defaultdict(list)
    if (root / REPORT_NAME).is_file():
        for path in sorted(root.rglob(MASK_NAME)):
            found[path.parent.relative_to(root).as_posix()].append(path)
    else:
        for path in sorted(root.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.is_file() and not hidden and path.suffix.lower() not in NO_LABELS:
                stem = path.name.removesuffix(".gz")
                name = path.relative_to(root).with_name(Path(stem).stem if Path(stem).suffix else stem)
                found[name.as_posix()].append(path)
    if not found:
        raise ValueError(f"{folder}: found no file; want a folder of labels, or an output folder of the bundle")
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
    progress: bool = False,
) -> dict[str, Any]:
    """Agreement of two folders of labels.

    Args:
        first_dir, second_dir: the folders; labels as in docs/data.md, "Label files".
        images_dir: folder of the mammograms, by the same names, for pixel spacing and breast mask; None takes
            `spacing_mm` and the whole image.
        spacing_mm: pixel spacing where no image gives one.
        rule: when two objects are the same; None is the paper's.
        cell_mm: side of the cells of kappa.
        matching: "greedy" or "optimal".
        samples, seed: of the bootstrap over images.
        progress: show a progress bar.

    Returns:
        What the output file holds. "unmatched" and "failures" name what was left out.
    """
    first, second = named_files(first_dir), named_files(second_dir)
    images = None if images_dir is None else named_files(images_dir)
    cases, failures = [], []
    for name in tqdm(sorted(first.keys() & second.keys()), unit="image", disable=not progress):
        try:
            pair = _only(first, name), _only(second, name)
            image = None if images is None else _only(images, name)
            cases.append(_case(name, pair, image, spacing_mm, rule, cell_mm))
        except (ValueError, OSError) as error:
            failures.append({"image": name, "reason": str(error)})
            logger.error("left out: %s", error)
    weights = bootstrap_weights([case.case_id for case in cases], samples, seed)
    found = agreement(cases, 1.0, weights, matching)
    unmatched = {"first": sorted(first.keys() - second.keys()), "second": sorted(second.keys() - first.keys())}
    for which, names in unmatched.items():
        for name in names:
            logger.error("%s has no partner: %s", which, name)
    rows = [_row(case, matching) for case in cases]
    return json_values(
        {
            "images": len(cases),
            "objects": {key: sum(row[key] for row in rows) for key in ("both", "first_alone", "second_alone")},
            **{key: value.as_json() if isinstance(value, Interval) else value for key, value in found.items()},
            "per_image": rows,
            "unmatched": unmatched,
            "failures": failures,
            "settings": {
                "first": str(first_dir),
                "second": str(second_dir),
                "images": None if images_dir is None else str(images_dir),
                "spacing_mm": spacing_mm,
                "hit_distance_mm": (rule or HitRule()).distance_mm,
                "hit_iou": (rule or HitRule()).iou,
                "matching": matching,
            },
            "bootstrap": {"samples": samples, "unit": "image", "seed": seed},
        }
    )


def _only(files: Mapping[str, Sequence[Path]], name: str) -> Path:
    paths = files.get(name, ())
    if len(paths) != 1:
        found = ", ".join(str(path) for path in paths) or "no file"
        raise ValueError(f"{name}: found {found}; want one file of this name in each folder")
    return paths[0]


def _case(
    name: str,
    labels: tuple[Path, Path],
    image: Path | None,
    spacing_mm: float,
    rule: HitRule | None,
    cell_mm: float,
) -> CaseScores:
    spacing = (spacing_mm, spacing_mm)
    if image is not None:
        pixels, meta = read_mammogram(image, default_spacing_mm=spacing_mm)
        spacing = (float(meta["spacing_mm"][0]), float(meta["spacing_mm"][1]))
        breast = breast_mask(pixels, spacing[0])
    else:
        masks = [path for path in labels if path.suffix.lower() not in POINTS]
        if not masks:
            raise ValueError(f"{labels[0]}: found points for both labels; want --images, to know the image's size")
        breast = np.ones(read_values(masks[0]).shape, bool)
    both = [load_label(path, (breast.shape[0], breast.shape[1]), spacing) for path in labels]
    return reader_case(both[0], both[1], breast, spacing, rule, cell_mm, case_id=name)


def _row(case: CaseScores, matching: str) -> dict[str, Any]:
    matched = match_case(case, 1.0, matching)
    both, other = int(matched.hit.sum()), int(matched.false_positive.sum())
    alone = int(matched.hit.size) - both
    return {
        "image": case.case_id,
        "both": both,
        "first_alone": alone,
        "second_alone": other,
        "specific_agreement": specific_agreement(both, other, alone),
        "kappa": float(cohen_kappa(cell_table(matched))),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path, help="folder of the first reader's labels, or of the bundle's results")
    parser.add_argument("second", type=Path, help="folder of the second one's, by the same file names")
    parser.add_argument("--output", type=Path, default=Path("agreement.json"), help="file to write")
    parser.add_argument("--images", type=Path, help="folder of the mammograms: pixel spacing, breast mask, size")
    parser.add_argument("--spacing-mm", type=float, default=0.07, help="pixel spacing where no image gives one")
    parser.add_argument("--hit-distance-mm", type=float, default=0.35, help="farthest centroids of the same object")
    parser.add_argument("--hit-iou", type=float, default=0.3, help="or else the smallest overlap of the same object")
    parser.add_argument("--matching", default=GREEDY, choices=(GREEDY, OPTIMAL), help="who is paired with whom")
    parser.add_argument("--cell-mm", type=float, default=2.0, help="side of the cells that kappa counts")
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples of images")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    args = parser.parse_args(arguments)
    try:
        rule = HitRule(args.hit_distance_mm, args.hit_iou)
        found = compare_readers(
            *(args.first, args.second, args.images, args.spacing_mm, rule),
            *(args.cell_mm, args.matching, args.samples, args.seed),
            progress=sys.stderr.isatty(),
        )
    except ValueError as error:
        parser.error(str(error))
    write_json(args.output, found)
    logger.info("%d images compared: %s", found["images"], args.output)
    if found["failures"] or any(found["unmatched"].values()):
        sys.exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
