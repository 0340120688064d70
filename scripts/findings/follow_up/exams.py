"""One exam as follow-up sees it: the image, the breast, its MCs; read back from a folder of results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from scripts.candidates.breast_mask import breast_mask
from scripts.common.objects import Microcalcification
from scripts.common.resampling import resample, resampled_size
from scripts.common.tensors import Spacing
from scripts.data.reader.errors import MammogramReadError, check_file
from scripts.data.reader.geometry import from_file_axes
from scripts.data.reader.mammogram_reader import AS_SHOWN, Reading, read_mammogram

SCHEMA = "microcalcification-findings-"
REPORT, INSTANCES = "findings.json", "instances.nii.gz"
_FIELDS = {entry.name for entry in fields(Microcalcification)}


@dataclass(frozen=True, eq=False)
class Exam:
    """One exam. Points in mm are (row, col) from the centre of the image's first pixel."""

    name: str
    image: np.ndarray  # float32 (rows, cols) in [0, 1]
    breast: np.ndarray  # bool (rows, cols)
    spacing_mm: Spacing
    findings: Sequence[Microcalcification] = ()
    identity: Mapping[str, str] = field(default_factory=dict)  # patient_id, laterality, view, sop_uid, ...; "" unknown
    instances: np.ndarray | None = None  # int (rows, cols): ids of the MCs, for pictures
    clusters: Mapping[int, Sequence[int]] = field(default_factory=dict)  # id -> ids of its MCs
    file: str = ""  # as results tell it
    mammogram: str = ""  # where it was read from
    method: str = ""  # that found the MCs
    report: Mapping[str, Any] = field(default_factory=dict)  # what findings.json says

    @property
    def breast_area_cm2(self) -> float:
        """Area of the breast."""
        return float(self.breast.sum() * self.spacing_mm[0] * self.spacing_mm[1] / 100)

    @property
    def size_mm(self) -> np.ndarray:
        """(rows, cols) of the image in mm, centre to centre of the outermost pixels."""
        return (np.array(self.image.shape) - 1) * self.spacing_mm

    def points_mm(self) -> np.ndarray:
        """Centroids of the MCs, (n, 2)."""
        return np.array([(mc.y_mm, mc.x_mm) for mc in self.findings], float).reshape(-1, 2)

    def areas_mm2(self) -> np.ndarray:
        """Areas of the MCs, (n,)."""
        return np.array([mc.area_mm2 for mc in self.findings], float)


def read_exam(folder: str | Path, reading: Reading = AS_SHOWN, mammogram: str | Path = "") -> Exam:
    """An exam from the results of inference: a folder with findings.json and instances.nii.gz of one image.

    It may be a run's output folder if that holds the results of one image only. The mammogram is read again, from where
    the report says it was or beside it, or from the path given (results without identity do not tell). MCs of kinds
    that the report leaves out are left out.
    """
    root = Path(folder).expanduser()
    check_file(root, root.is_dir(), "no such folder", "a folder of results (run inference on the image first)")
    reports = [root / REPORT] if (root / REPORT).is_file() else sorted(root.rglob(REPORT))
    check_file(root, len(reports) == 1, f"{len(reports)} files {REPORT}", "the results of one image")
    path = reports[0]
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        check_file(path, False, f"no JSON ({error})", "a report of inference")
    is_report = isinstance(report, Mapping) and str(report.get("schema", "")).startswith(SCHEMA)
    check_file(path, is_report, "no report of findings", f"schema {SCHEMA}...")
    places = [Path(mammogram).expanduser()] if mammogram else [Path(report["file"]), path.parent / report["name"]]
    file = next((place for place in places if place.is_file()), None)
    want = "the mammogram there or beside, or its path given"
    if file is None:
        raise MammogramReadError(path, f"file {str(places[0])!r}, which is not there", want)
    image, meta = read_mammogram(file, reading)
    rows, cols = report["rows"], report["cols"]
    found = f"{image.shape[0]} x {image.shape[1]} px"
    check_file(file, image.shape == (rows, cols), found, f"{rows} x {cols} as {path} has")
    spacing_mm = (float(report["spacing_mm"][0]), float(report["spacing_mm"][1]))
    marks = [mark for mark in report["microcalcifications"] if mark.get("counted", True)]
    return Exam(
        name=report["name"],
        image=image,
        breast=breast_mask(image, spacing_mm[0]),
        spacing_mm=spacing_mm,
        findings=[finding_of(mark) for mark in marks],
        identity={key: str(value or "") for key, value in report["identity"].items()},
        instances=read_instances(path.parent / INSTANCES, meta, image.shape),
        clusters={int(cluster["id"]): cluster["members"] for cluster in report.get("clusters") or ()},
        file=report["file"],
        mammogram=str(file),
        method=str(report.get("method", "")),
        report=report,
    )


def reduced(exam: Exam, spacing_mm: float) -> Exam:
    """The exam with image and breast at about this pixel size (the same number of whole pixels fills the image)."""
    shape = resampled_size(exam.image.shape, exam.spacing_mm[0] / spacing_mm)
    row_mm, col_mm = (mm * old / new for mm, old, new in zip(exam.spacing_mm, exam.image.shape, shape, strict=True))
    image = resample(exam.image.astype(np.float32), shape)
    breast = resample(exam.breast.astype(np.float32), shape) > 0.5
    return replace(exam, image=image, breast=breast, spacing_mm=(row_mm, col_mm), instances=None)


def finding_of(mark: Mapping[str, Any]) -> Microcalcification:
    """A mark of a report, as it was measured."""
    known = {key: value for key, value in mark.items() if key in _FIELDS}
    return Microcalcification(**known | {"bounding_box": tuple(mark["bounding_box"])})


def read_instances(path: Path, meta: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray | None:
    """The ids of marks, int32 (rows, cols) of the mammogram that `meta` came with; None where there is no such file."""
    if not path.is_file():
        return None
    array = np.asarray(nibabel.load(path).dataobj).astype(np.int32)
    plane = array.reshape(array.shape[:2])
    instances = from_file_axes(plane, meta["file_axes"], meta["file_flips"])
    check_file(path, instances.shape == shape, f"shape {instances.shape}", f"the mammogram's {shape}")
    return np.ascontiguousarray(instances)
