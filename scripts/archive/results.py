"""The results of a study as files for the archive, each with a UID that is known before it is made.

The UIDs follow from what a result is about (images, and for the study's report which of them failed), which output it
is, and the basis (weights, settings, version). So the archive itself tells what is done, and storing twice is storing
the same object. The study's report is stored last: where it is, all the rest is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from scripts.archive.archive import Instance
from scripts.common.checks import check
from scripts.outputs.dicom.cad_sr import cad_report
from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.mammogram import Mammogram, mammogram_of
from scripts.outputs.dicom.tracking import derived_uid
from scripts.outputs.dicom.writers import DICOM_WRITERS

#: Output of a study -> what makes its data set from all images of the study.
STUDY_OUTPUTS: dict[str, Callable[[Sequence[Mammogram]], Dataset]] = {"cad_sr": cad_report}
OUTPUTS = tuple(DICOM_WRITERS)
DEFAULT_OUTPUTS = ("segmentation", "report_sr", "cad_sr")


@dataclass(frozen=True)
class Results:
    """Which results are made, on which basis (`Segmenter.basis`)."""

    basis: str
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS

    def __post_init__(self) -> None:
        check("outputs", self.outputs, self.outputs, f"some of {', '.join(OUTPUTS)}")
        for name in self.outputs:
            check("outputs", name, name in OUTPUTS, f"some of {', '.join(OUTPUTS)}")

    @property
    def of_images(self) -> tuple[str, ...]:
        """Outputs of each image."""
        return tuple(name for name in self.outputs if name not in STUDY_OUTPUTS)

    @property
    def of_studies(self) -> tuple[str, ...]:
        """Outputs of each study."""
        return tuple(name for name in self.outputs if name in STUDY_OUTPUTS)

    def image_uid(self, output: str, sop: str) -> str:
        """SOP instance UID of an image's result."""
        return derived_uid("archive", output, self.basis, sop)

    def study_uid(self, output: str, sops: Sequence[str], failed: Sequence[str] = ()) -> str:
        """SOP instance UID of a study's result, of the SOP instance UIDs of all its images and of those that failed."""
        return derived_uid("archive", output, self.basis, *sorted(sops), "failed", *sorted(failed))

    def all_uids(self, images: Sequence[Instance]) -> set[str]:
        """UIDs of all results of a study on whose images nothing fails."""
        sops = [image.sop for image in images]
        uids = {self.image_uid(output, sop) for output in self.of_images for sop in sops}
        return uids | {self.study_uid(output, sops) for output in self.of_studies}

    def write_image(self, folder: Path, sop: str, item: Mapping[str, Any]) -> tuple[dict[str, Path], Mammogram]:
        """Write the results of an image into a folder: {UID: file}; and what the study's report tells of it.

        `item` is what `Segmenter.analyse` left of the image.
        """
        files: dict[str, Path] = {}
        for output in self.of_images:
            name, write_output = DICOM_WRITERS[output]
            uid, file = self.image_uid(output, sop), write_output(folder / name, item)
            dataset = dcmread(file)
            name_instance(dataset, uid)
            dataset.save_as(file, enforce_file_format=True)
            files[uid] = file
        return files, mammogram_of(item, "cad_sr")

    def write_study(self, folder: Path, images: Sequence[Mammogram]) -> dict[str, Path]:
        """Write the results of a study into a folder: {UID: file}; failed images (`failed_mammogram`) among them.

        Raises:
            ValueError: the images are of several studies or patients, or none of them could be had.
        """
        # A report takes the patient from its first image; what stands in for one that could not be had has none.
        order = sorted(images, key=_is_stand_in)
        patients = {image.header.PatientID for image in images if not _is_stand_in(image)}
        check("images", f"images of {len(patients)} patients", len(patients) == 1, "images of one patient")
        sops = [image.header.SOPInstanceUID for image in images]
        failed = [image.header.SOPInstanceUID for image in images if not image.succeeded]
        files: dict[str, Path] = {}
        for output in self.of_studies:
            dataset, uid = STUDY_OUTPUTS[output](order), self.study_uid(output, sops, failed)
            name_instance(dataset, uid)
            files[uid] = write(folder / DICOM_WRITERS[output][0], dataset)
        return files


def name_instance(dataset: Dataset, uid: str) -> None:
    """Give a data set a SOP instance UID, and a series of its own that follows from it."""
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = uid, derived_uid("series", uid)
    if hasattr(dataset, "file_meta"):
        dataset.file_meta.MediaStorageSOPInstanceUID = uid


def _is_stand_in(image: Mammogram) -> bool:
    """Whether of an image nothing is known but its UIDs (`write_stand_in`)."""
    return "Rows" not in image.header
