"""Results that are stored, of a folder or sent by an archive: the counted marks of a mammogram, found by its UID.

A folder may hold results of runs (`findings.json` beside `instances.nii.gz`) and DICOM results of this bundle, under
any names; DICOM files of others are passed over.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from scripts.common.calcification_kinds import EXCLUDED
from scripts.common.checks import check
from scripts.common.errors import message_of
from scripts.common.objects import Microcalcification
from scripts.data.reader.dicom_file import is_dicom
from scripts.findings.follow_up.exams import INSTANCES, REPORT, finding_of, read_instances
from scripts.outputs.dicom.document import MANUFACTURER, SERIES
from scripts.outputs.dicom.reading import read_result

logger = logging.getLogger(__name__)

#: What marks can be read from, those that hold most first; a segmentation has no scores.
KINDS = ("findings", "report_sr", "cad_sr", "segmentation_labelmap", "segmentation")
KIND_OF = {number: kind for kind, (number, _) in SERIES.items() if kind in KINDS}
TAGS = ["SOPInstanceUID", "SeriesNumber", "Manufacturer", "PredecessorDocumentsSequence", "SourceImageSequence"]
TAGS += ["CurrentRequestedProcedureEvidenceSequence"]


@dataclass(frozen=True, eq=False)
class Marks:
    """The counted marks of an image."""

    instances: np.ndarray  # int32 (rows, cols): ids, 0 elsewhere
    scores: np.ndarray  # float64 (highest id + 1,), by id; NaN where the format has none
    findings: list[Microcalcification]  # by id

    def same(self, other: "Marks") -> bool:
        """Whether two are of the same marks."""
        scores = np.array_equal(self.scores, other.scores, equal_nan=True)
        return scores and np.array_equal(self.instances, other.instances)


@dataclass
class StoredResults:
    """The results of a folder.

    Args:
        folder: searched with its sub-folders.
        kind: one of `KINDS`; "" for the first of them that the folder holds.
    """

    folder: str | Path
    kind: str = ""
    _files: dict[str, dict[str, list[Path]]] = field(init=False)  # kind -> UID of an image -> files

    def __post_init__(self) -> None:
        root = Path(self.folder).expanduser()
        check("kind", self.kind, self.kind in ("", *KINDS), f"one of {', '.join(KINDS)}")
        check("folder", str(root), root.is_dir(), "a folder of results")
        self._files = {kind: defaultdict(list) for kind in KINDS}
        replaced, documents = set(), {}
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            if path.name == REPORT:
                self._files["findings"][_image_of_report(path)].append(path)
            elif (header := _header(path)) is not None and header.SOPInstanceUID not in documents:
                documents[header.SOPInstanceUID] = path, KIND_OF[int(header.SeriesNumber)], list(_images(header))
                replaced |= {item.ReferencedSOPInstanceUID for item in _referenced(header, "PredecessorDocuments")}
        for uid, (path, kind, images) in documents.items():
            for image in images:
                if uid not in replaced:
                    self._files[kind][image].append(path)
        self.kind = self.kind or next((kind for kind in KINDS if self._files[kind]), "")
        check("folder", f"{root}, which holds no results", bool(self.kind), "results of this bundle")

    def marks(self, meta: Mapping[str, Any], shape: tuple[int, int]) -> Marks:
        """The counted marks of a mammogram, by its reader's metadata: SOP instance UID, without one the file.

        Raises:
            ValueError: it has no result, failed, or has several that differ.
        """
        image = str(meta.get("sop_uid") or _path(meta.get("filename_or_obj")))
        files = self._files[self.kind].get(image, [])
        check(self.kind, f"no result of {image}", bool(files), "one")
        first, *others = (self._read(file, image, meta, shape) for file in files)
        for file, other in zip(files[1:], others, strict=True):
            check(str(file), f"other marks than {files[0]}", first.same(other), "one result of an image, or equal ones")
        return first

    def _read(self, file: Path, image: str, meta: Mapping[str, Any], shape: tuple[int, int]) -> Marks:
        if self.kind == "findings":
            marks = json.loads(file.read_text(encoding="utf-8"))["microcalcifications"]
            findings = [finding_of(mark) for mark in marks if mark.get("counted", True)]
            labels = read_instances(file.with_name(INSTANCES), meta, shape)
            check(str(file.parent), f"no {INSTANCES}", labels is not None, "it, an output of the run")
            instances = np.asarray(labels)
        else:
            try:
                result = read_result(file).of_image(image)
            except Exception as error:  # of pydicom, on whatever a damaged file holds
                raise ValueError(f"{file}: {message_of(error)}") from error
            all_counted = self.kind in ("cad_sr", "segmentation")  # what is not counted is not in them
            findings = [mc for mc in result.findings if all_counted or result.kinds[mc.id] not in EXCLUDED]
            told = len(findings) if result.count is None else result.count
            check(str(file), f"{told} marks counted", told == len(findings), f"all but {', '.join(EXCLUDED)} counted")
            instances = result.instances(shape)
        scores = np.zeros(int(instances.max(initial=0)) + 1)
        ids = [mc.id for mc in findings]
        scores[ids] = [mc.score for mc in findings]
        return Marks(np.where(np.isin(instances, ids), instances, 0), scores, findings)


def _image_of_report(path: Path) -> str:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return str(report["identity"]["sop_uid"] or _path(report["file"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: got no report of findings; want one") from error


def _path(file: Any) -> str:
    """A file's name as the key of what holds no UID: runs may have been given a relative path."""
    return str(Path(str(file)).expanduser().absolute())


def _header(path: Path) -> Dataset | None:
    """The tags of a DICOM result of ours; None of any other file, and of one that is damaged."""
    with path.open("rb") as file:
        if not is_dicom(file.read(132)):
            return None
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
    except Exception as error:  # of pydicom, on whatever there is
        logger.warning("%s: passed over: a DICOM file that cannot be read: %s", path, error)
        return None
    ours = header.get("Manufacturer") == MANUFACTURER and "SOPInstanceUID" in header
    return header if ours and int(header.get("SeriesNumber") or 0) in KIND_OF else None


def _images(header: Dataset) -> Iterator[str]:
    """SOP instance UIDs of the images that a result is about."""
    for item in (*header.get("SourceImageSequence", []), *_referenced(header, "CurrentRequestedProcedureEvidence")):
        yield str(item.ReferencedSOPInstanceUID)


def _referenced(header: Dataset, name: str) -> Iterator[Dataset]:
    """Items of a sequence of references by study and series."""
    for study in header.get(f"{name}Sequence", []):
        for series in study.ReferencedSeriesSequence:
            yield from series.ReferencedSOPSequence
