"""Whether two result folders hold the same findings, to the last bit: before and after a change of the code.

    python -m scripts.bench.same_findings <folder before> <folder after>

Every image's report (but for method and thresholds), mask and numbered objects are compared; exit status 1 where
one differs, 2 where there is nothing to compare.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np

from scripts.common.command_line import Parser

COMPARED = (
    *("status", "identity", "reading", "rows", "cols", "spacing_mm", "breast_area_cm2", "summary"),
    "microcalcifications",
)


def difference(before: Path, after: Path) -> str:
    """What differs between two folders of one image's results; "" when nothing does."""
    if not (after / "findings.json").is_file():
        return "no findings.json"
    first, second = (json.loads((folder / "findings.json").read_text(encoding="utf-8")) for folder in (before, after))
    differing = [key for key in COMPARED if first[key] != second[key]]
    for name in ("mask.nii.gz", "instances.nii.gz"):
        one, other = (nibabel.nifti1.Nifti1Image.from_filename(folder / name) for folder in (before, after))
        same = np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
        if not (same and np.array_equal(one.affine, other.affine)):
            differing.append(name)
    return ", ".join(differing)


def main(words: Sequence[str] | None = None) -> None:
    """Compare the two folders named on the command line, or in `words`."""
    parser = Parser(prog="python -m scripts.bench.same_findings", description="Compare findings to the last bit.")
    parser.add_argument("before", type=Path, help="folder of results")
    parser.add_argument("after", type=Path, help="folder of results of the same images, of other code")
    before, after = vars(parser.parse_args(words)).values()
    reports = sorted(before.rglob("findings.json"))
    if not reports:
        parser.error(f"before: got {before}, without any findings.json; want a folder of results")
    different = 0
    for report in reports:
        image = report.parent.relative_to(before)
        found = difference(report.parent, after / image)
        different += bool(found)
        if found:
            sys.stdout.write(f"{image}: {found}\n")
    sys.stdout.write(f"{len(reports) - different} of {len(reports)} images are the same\n")
    sys.exit(int(different > 0))


if __name__ == "__main__":
    main()
