"""Handler that writes what was found in an image, every file atomically.

To add an output: write a function (path, item) -> path in a file of its own, and give it a line in `WRITERS` (its
file's name also belongs to `RESULT_FILES` in scripts/data/lists/folder.py).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.checks import check
from scripts.common.files import PARTIAL
from scripts.common.identity import Identity
from scripts.outputs.dicom.tracking import with_tracking_uids
from scripts.outputs.dicom.writers import DICOM_WRITERS, import_ahead, is_dicom_input
from scripts.outputs.failures import FAILURE_FILE, write_failure
from scripts.outputs.label_maps import write_instances, write_map, write_mask
from scripts.outputs.nrrd import write_instances_nrrd, write_mask_nrrd
from scripts.outputs.pictures import write_heat_map, write_picture
from scripts.outputs.report import failed_analyses, write_clusters, write_findings, write_table

logger = logging.getLogger(__name__)

#: name in the config's `outputs` -> name of the file, and what writes it; `findings` last, as it vouches for the rest
WRITERS: dict[str, tuple[str, Callable[[Path, Mapping[str, Any]], Path]]] = {
    "mask": ("mask.nii.gz", write_mask),
    "instances": ("instances.nii.gz", write_instances),
    "map": ("map.nii.gz", write_map),
    "mask_nrrd": ("mask.nrrd", write_mask_nrrd),
    "instances_nrrd": ("instances.seg.nrrd", write_instances_nrrd),
    "heat_map": ("heat_map.png", write_heat_map),
    "picture": ("picture.png", write_picture),
    "table": ("findings.csv", write_table),
    "clusters": ("clusters.csv", write_clusters),
    **DICOM_WRITERS,  # of DICOM inputs only
    "findings": ("findings.json", write_findings),
}
ALL = "all"
DEFAULT_OUTPUTS = ("mask", "instances", "picture", "table", "clusters", "segmentation", "findings")


def chosen(outputs: str | Sequence[str]) -> list[str]:
    """Some of `WRITERS`, in their order: those named, or every one for "all"; `findings` is always among them."""
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    for name in names:
        check("outputs", name, name in (ALL, *WRITERS), f"{ALL}, or some of {', '.join(WRITERS)}")
    return [name for name in WRITERS if ALL in names or name in (*names, "findings")]


class FindingsWriter:
    """Write the results of each image into `output_dir/<image_id>/`; where there are none, what says so (failures.py).

    It runs inside the evaluator's iteration, after postprocessing: a failure to write is a failure of that image. What
    an earlier run left of the image is removed first, and so is what was written before the failure.
    `outputs` are as `chosen` takes them; DICOM files are written of DICOM inputs only, which the log says of the first
    other one. `method` is named in failure records; `identity` says how patients and files are named.
    """

    def __init__(
        self,
        output_dir: str | Path,
        outputs: str | Sequence[str] = DEFAULT_OUTPUTS,
        identity: Identity | None = None,
        method: str = "",
    ) -> None:
        self.output_dir, self.identity = Path(output_dir).expanduser(), identity or Identity()
        self.outputs, self.method = chosen(outputs), method
        self._told = False  # that DICOM outputs are left out

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator, before the run report."""
        if set(self.outputs) & set(DICOM_WRITERS):
            engine.add_event_handler(Events.STARTED, import_ahead)
        engine.add_event_handler(Events.ITERATION_STARTED, self._clear)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._record_failure)

    def __call__(self, engine: Any) -> None:
        """Write the results of the image just done, and note the files in its output."""
        for batch, item in zip(engine.state.batch, engine.state.output, strict=True):
            image_id = batch.get("image_id") or Path(item["report"]["file"]).stem
            item["report"] = self.identity.report(item["report"], image_id)
            if set(self.outputs) & set(DICOM_WRITERS) and is_dicom_input(item):
                item["report"] = with_tracking_uids(item["report"], str(item["image"].meta["filename_or_obj"]))
            item["outputs"] = self.write(image_id, item)

    def write(self, image_id: str, item: Mapping[str, Any]) -> dict[str, str]:
        """Write one image's results into the folder `image_id`; gives output -> path relative to `output_dir`.

        `item` is what postprocessing left: image, pred, instances, findings, report, breast, map.
        """
        folder, names = self._folder(image_id), self.outputs
        if not is_dicom_input(item) and (left_out := [name for name in names if name in DICOM_WRITERS]):
            if not self._told:
                told = "%s: is no DICOM file with a SOP instance UID: no %s of it, nor of others like it"
                logger.warning(told, image_id, ", ".join(left_out))
            self._told = True
            names = [name for name in names if name not in left_out]
        if "clusters" in failed_analyses(item["report"]):  # an empty table would say that there are none
            names = [name for name in names if name != "clusters"]
        for name in names:
            file, write = WRITERS[name]
            write(folder / file, item)
        return {name: f"{image_id}/{WRITERS[name][0]}" for name in names}

    def _folder(self, image_id: str) -> Path:
        inside = Path(image_id).parts and not Path(image_id).is_absolute() and ".." not in Path(image_id).parts
        check("image_id", image_id, inside, "a name or path below the output folder")
        return self.output_dir / image_id

    def _clear(self, engine: Any) -> None:
        for image_id in _image_ids(engine.state.batch):
            self._remove(image_id)

    def _remove(self, image_id: str) -> None:
        """Remove what is there of an image; what cannot be removed shows when it is written, or is told."""
        try:
            folder = self._folder(image_id)
            leftovers = folder.glob(f"{PARTIAL}*")  # of a worker that was killed
            for file in (*leftovers, *(folder / file for file, _ in WRITERS.values()), folder / FAILURE_FILE):
                file.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            logger.warning("earlier results of %s stay: %s", image_id, error)

    def _record_failure(self, engine: Any) -> None:
        failure = getattr(engine.state, "failure", None)
        engine.state.failure_outputs = {}
        if failure is None:
            return
        for image_id in _image_ids(engine.state.batch):
            engine.state.failure_outputs = self.fail(image_id, failure)

    def fail(self, image_id: str, failure: Mapping[str, str]) -> dict[str, str]:
        """Leave nothing of an image but what tells of its failure {"file", "stage", "reason"}: output -> path."""
        self._remove(image_id)
        try:
            folder, files = self._folder(image_id), {name: WRITERS[name][0] for name in self.outputs}
            written = write_failure(folder, failure, image_id, files, self.method, self.identity)
        except ValueError as error:
            logger.warning("no %s of %s could be written: %s", FAILURE_FILE, image_id, error)
            return {}
        return {name: f"{image_id}/{file}" for name, file in written.items()}


def _image_ids(batch: Any) -> list[str]:
    """Names of the images of a batch, decollated or not."""
    if isinstance(batch, Mapping):
        return list(batch.get("image_id", []))
    return [item["image_id"] for item in batch if "image_id" in item]
