"""The DICOM outputs as `FindingsWriter` takes them: name -> (file, function (path, item) -> path).

highdicom is imported when the first of them is written, or `import_ahead` says so: it takes a second.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.outputs.dicom.mammogram import is_dicom_input

__all__ = ["DICOM_WRITERS", "is_dicom_input"]


def import_ahead() -> None:
    """Import highdicom, and have it read its tables, in a thread of its own, while a network works on an image."""

    def load() -> None:
        with contextlib.suppress(Exception):  # it shows when the first file is written
            from highdicom import _standard_utils

            from scripts.outputs.dicom import seg  # noqa: F401

            _standard_utils.get_module_attribute_map()  # cached; else it is read when the first file is written

    threading.Thread(target=load, name="import-highdicom", daemon=True).start()


def write_segmentation(path: Path, item: Mapping[str, Any]) -> Path:
    """DICOM segmentation, one segment: see seg.py."""
    from scripts.outputs.dicom import seg

    return seg.write_segmentation(path, item)


def write_labelmap(path: Path, item: Mapping[str, Any]) -> Path:
    """DICOM segmentation, one segment per mark: see seg.py."""
    from scripts.outputs.dicom import seg

    return seg.write_labelmap(path, item)


def write_measurement_report(path: Path, item: Mapping[str, Any]) -> Path:
    """Measurement report, TID 1500: see measurement_report.py."""
    from scripts.outputs.dicom import measurement_report

    return measurement_report.write_measurement_report(path, item)


def write_cad_report(path: Path, item: Mapping[str, Any]) -> Path:
    """Mammography CAD report, TID 4000: see cad_sr.py."""
    from scripts.outputs.dicom import cad_sr

    return cad_sr.write_cad_report(path, item)


def write_failed_cad_report(path: Path, *about: Any) -> Path | None:
    """The CAD report of a mammogram that failed; None of other files. `about` are `failed_mammogram`'s arguments."""
    from scripts.outputs.dicom import cad_sr, mammogram

    image = mammogram.failed_mammogram_or_none(*about)
    return None if image is None else cad_sr.write(path, cad_sr.cad_report([image]))


def write_failed_measurement_report(path: Path, *about: Any) -> Path | None:
    """The measurement report of a mammogram that failed, likewise."""
    from scripts.outputs.dicom import mammogram, measurement_report

    image = mammogram.failed_mammogram_or_none(*about)
    return None if image is None else measurement_report.write(path, measurement_report.measurement_report(image))


def write_follow_up(path: Path, *about: Any) -> Path | None:
    """Changes since a prior exam, of (prior, current, report of the comparison): see follow_up_sr.py.

    None where an exam is no DICOM file.
    """
    from scripts.outputs.dicom import follow_up_sr

    return follow_up_sr.write_follow_up(path, *about)


DICOM_WRITERS: dict[str, tuple[str, Callable[[Path, Mapping[str, Any]], Path]]] = {
    "segmentation": ("segmentation.dcm", write_segmentation),
    "segmentation_labelmap": ("segmentation_labelmap.dcm", write_labelmap),
    "report_sr": ("report_sr.dcm", write_measurement_report),
    "cad_sr": ("cad_sr.dcm", write_cad_report),
}
#: Those that a failed image has; a segmentation of it would say that nothing was found.
FAILED_DICOM_WRITERS: dict[str, Callable[..., Path | None]] = {
    "report_sr": write_failed_measurement_report,
    "cad_sr": write_failed_cad_report,
}
