"""One small window of each image, with the reference and the method's objects: what a picture of cases needs.

The window is chosen by the annotation alone, so all methods evaluated on the same images keep the same one.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scripts.common.checks import check
from scripts.common.files import write_atomically
from scripts.common.labels import IGNORE
from scripts.common.objects import measure_objects
from scripts.common.ranks import rank, ranks
from scripts.evaluation.cases import CaseScores, ImageArrays, nearest_level
from scripts.outputs.pictures import densest_regions

FOLDER = "crops"
#: Grey values shown as black and white: these percentiles of the window.
WINDOW_PERCENTILES = (0.5, 99.9)


@dataclass(frozen=True, eq=False)
class Crop:
    """A window of an image."""

    case_id: str
    corner: tuple[int, int]  # row, col of the first pixel, px of the image
    spacing_mm: tuple[float, float]  # (row, col) pixel spacing
    image: np.ndarray  # uint8 (rows, cols), from black to white within `WINDOW_PERCENTILES`
    annotated: np.ndarray  # int32 (rows, cols), 0 or 1-based place of the annotated object in the image's label order
    ignored: np.ndarray  # bool (rows, cols), ignore regions
    found: np.ndarray  # int32 (rows, cols), 0 or 1-based place of the prediction in the image's label order
    numbers: np.ndarray  # int32 (n,), the predictions that reach into the window
    scores: np.ndarray  # float64 (n,), theirs
    uncounted: np.ndarray  # bool (n,), whether most of each lies in an ignore region


def cut_crop(case: CaseScores, arrays: ImageArrays, side_mm: float) -> Crop:
    """The window of `side_mm` (cut to the image) with most of the annotated objects, of which there is at least one."""
    if arrays.image is None:
        raise ValueError("image: got None; want the grey values of the crop")
    side = max(1, round(side_mm / case.spacing_mm[0]))
    findings = measure_objects(arrays.annotated, np.zeros(len(case.annotations) + 1), case.spacing_mm)
    rows, cols = arrays.image.shape
    (row, col), *_ = densest_regions(findings, (rows, cols), side, 1)
    part = np.s_[row : row + side, col : col + side]
    found = arrays.predicted[part].astype(np.int32)
    numbers = np.unique(found[found > 0])
    low, high = np.percentile(arrays.image[part], WINDOW_PERCENTILES)
    grey = np.clip((arrays.image[part] - low) / max(high - low, 1e-6), 0, 1)
    return Crop(
        case_id=case.case_id,
        corner=(row, col),
        spacing_mm=case.spacing_mm,
        image=(255 * grey).round().astype(np.uint8),
        annotated=arrays.annotated[part].astype(np.int32),
        ignored=arrays.label[part] == IGNORE,
        found=found,
        numbers=numbers,
        scores=case.predictions.score[numbers - 1],
        uncounted=case.predictions.ignored[numbers - 1],
    )


@dataclass(eq=False)
class CropWriter:
    """Writes `crops/<number>.npz` for every image that holds annotated objects; nothing stays in memory.

    Images without any have no window that would be the same for all methods, and none is kept of them.
    """

    output_dir: str | Path  # folder of the evaluation
    side_mm: float = 12.0  # side of the window; 0 writes nothing
    level: float | None = None  # where objects change with the threshold: that nearest to this (None: 0.5) is shown
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check("side_mm", self.side_mm, self.side_mm >= 0, "0 or more")
        self.folder = Path(self.output_dir) / FOLDER

    def shown(self, thresholds: np.ndarray) -> int:
        """Place of the threshold whose objects are shown, where they change with it."""
        return nearest_level(thresholds, 0.5 if self.level is None else self.level)

    def clear(self) -> None:
        """Remove the crops of a former run; of several ranks each those of its places."""
        self.count = 0
        for file in self.folder.glob("[0-9]*.npz"):
            if (int(file.stem) - 1) % ranks() == rank():
                file.unlink()

    def write(self, case: CaseScores, arrays: ImageArrays) -> Path | None:
        """Write one image's crop (see `cut_crop`); None where nothing is kept."""
        self.count += 1
        if not self.side_mm or not len(case.annotations):
            return None
        crop = cut_crop(case, arrays, self.side_mm)
        path = self.folder / f"{(self.count - 1) * ranks() + rank() + 1:05d}.npz"
        return write_atomically(path, lambda temporary: np.savez_compressed(temporary, **vars(crop)))


def read_crops(folder: str | Path) -> dict[str, Path]:
    """{case_id: file} of an evaluation's crops; empty when it kept none."""
    found = {}
    for path in sorted((Path(folder) / FOLDER).glob("[0-9]*.npz")):
        with np.load(path, allow_pickle=False) as file:
            found[str(file["case_id"])] = path
    return found


def read_crop(path: str | Path) -> Crop:
    """One crop."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    row, col = (int(value) for value in arrays.pop("corner"))
    row_mm, col_mm = (float(value) for value in arrays.pop("spacing_mm"))
    return Crop(case_id=str(arrays.pop("case_id")), corner=(row, col), spacing_mm=(row_mm, col_mm), **arrays)
