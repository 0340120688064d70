"""Handler that writes what was found in an image, every file atomically."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.files import write_atomically, write_json, write_png
from scripts.common.tensors import plane, spacing_of
from scripts.data.reader.geometry import to_file_axes
from scripts.outputs.pictures import draw_overlay, heat_map

FIELDS = ["id", "row", "col", "y_mm", "x_mm", "area_px", "area_mm2", "equivalent_diameter_mm", "score"]

#: Twice as fast as the usual 6, and the pictures get no larger.
PICTURE_COMPRESSION = 3

FILES = (
    *("mask.nii.gz", "instances.nii.gz", "findings.json", "findings.csv", "picture.png"),
    *("map.nii.gz", "heat_map.png"),
)


class FindingsWriter:
    """Write, per image, into `output_dir/<image_id>/`:

    - `mask.nii.gz`: uint8 {0, 1}, in the geometry of the input file (not mirrored, its own axes and affine);
    - `instances.nii.gz`: uint16 or uint32, each MC its id;
    - `findings.json` and `findings.csv`: every MC, numbers about all;
    - `picture.png`: the overlay;
    - with `maps`: `map.nii.gz` (float32 in [0, 1]: proximity or probability) and `heat_map.png`.

    It runs inside the evaluator's iteration, after postprocessing: a failure to write is a failure of that image.

    Args:
        output_dir: folder of all results.
        picture: write the overlay.
        maps: write the network's map and its heat map.
    """

    def __init__(self, output_dir: str | Path, picture: bool = True, maps: bool = False) -> None:
        self.output_dir, self.picture, self.maps = Path(output_dir).expanduser(), picture, maps

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._clear)
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write the results of the image just done, and note the files in its output."""
        for batch, item in zip(engine.state.batch, engine.state.output, strict=True):
            image_id = batch.get("image_id") or Path(item["report"]["file"]).stem
            item["outputs"] = self.write(image_id, item)

    def _clear(self, engine: Any) -> None:
        """Remove an earlier run's results of the image at hand, so that none is left should it fail now."""
        for image_id in engine.state.batch.get("image_id", []):
            for name in FILES:
                (self.output_dir / image_id / name).unlink(missing_ok=True)

    def write(self, image_id: str, item: Mapping[str, Any]) -> dict[str, str]:
        """Write one image's results.

        Args:
            image_id: name below `output_dir`.
            item: what postprocessing left: image, pred, instances, findings, report, breast, map.

        Returns:
            kind -> path relative to `output_dir`.
        """
        folder, report = self.output_dir / image_id, item["report"]
        image, labels = item["image"], plane(item["instances"])
        meta = image.meta
        wide = np.uint16 if labels.max(initial=0) < 65536 else np.uint32
        files = {
            "mask": _write_nifti(folder / "mask.nii.gz", np.asarray(item["pred"])[0].astype(np.uint8), meta),
            "instances": _write_nifti(folder / "instances.nii.gz", to_file_axes(labels.astype(wide), meta), meta),
            "table": _write_table(folder / "findings.csv", report["microcalcifications"]),
        }
        if self.picture:
            pixels = draw_overlay(
                plane(image),
                labels,
                item["findings"],
                spacing_mm=spacing_of(image),
                title=_title(report),
                breast=plane(item["breast"]),
            )
            files["picture"] = write_png(folder / "picture.png", pixels, PICTURE_COMPRESSION)
        if self.maps:
            values = plane(item["map"]).astype(np.float32)
            files["map"] = _write_nifti(folder / "map.nii.gz", to_file_axes(values, meta), meta)
            files["heat_map"] = write_png(folder / "heat_map.png", heat_map(values), PICTURE_COMPRESSION)
        files["findings"] = write_json(folder / "findings.json", report)
        return {kind: path.relative_to(self.output_dir).as_posix() for kind, path in files.items()}


def _title(report: Mapping[str, Any]) -> str:
    identity = report["identity"]
    where = " ".join(filter(None, (identity["laterality"], identity["view"])))
    count, density = report["summary"]["count"], report["summary"]["count_per_cm2"]
    first = "   ".join(filter(None, (report["name"], where, report["method"])))
    return f"{first}\n{count} microcalcifications" + (
        f", {density:.2f} per cm² of breast" if density is not None else ""
    )


def _write_nifti(path: Path, array: np.ndarray, meta: Mapping[str, Any]) -> Path:
    affine = np.asarray(meta["file_affine"], dtype=np.float64)
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return write_atomically(path, lambda temporary: nibabel.save(image, temporary))


def _write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return write_atomically(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))
