"""Handler that writes what was found in an image, every file atomically.

To add an output: write a function (path, item) -> path in a file of its own, and give it a line in `WRITERS`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from scripts.common.checks import check
from scripts.outputs.label_maps import write_instances, write_map, write_mask
from scripts.outputs.pictures import write_heat_map, write_picture
from scripts.outputs.report import write_findings, write_table

#: name in the config's `outputs` -> name of the file, and what writes it; `findings` last, as it vouches for the rest
WRITERS: dict[str, tuple[str, Callable[[Path, Mapping[str, Any]], Path]]] = {
    "mask": ("mask.nii.gz", write_mask),
    "instances": ("instances.nii.gz", write_instances),
    "map": ("map.nii.gz", write_map),
    "heat_map": ("heat_map.png", write_heat_map),
    "picture": ("picture.png", write_picture),
    "table": ("findings.csv", write_table),
    "findings": ("findings.json", write_findings),
}


class FindingsWriter:
    """Write the results of each image into `output_dir/<image_id>/`.

    It runs inside the evaluator's iteration, after postprocessing: a failure to write is a failure of that image.
    `outputs` are some of `WRITERS`; `findings` is always among them.
    """

    def __init__(
        self, output_dir: str | Path, outputs: Sequence[str] = ("mask", "instances", "picture", "table", "findings")
    ) -> None:
        for name in outputs:
            check("outputs", name, name in WRITERS, f"some of {', '.join(WRITERS)}")
        self.output_dir = Path(output_dir).expanduser()
        self.outputs = [name for name in WRITERS if name in (*outputs, "findings")]

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
            for file, _ in WRITERS.values():
                (self.output_dir / image_id / file).unlink(missing_ok=True)

    def write(self, image_id: str, item: Mapping[str, Any]) -> dict[str, str]:
        """Write one image's results into the folder `image_id`; gives output -> path relative to `output_dir`.

        `item` is what postprocessing left: image, pred, instances, findings, report, breast, map.
        """
        for name in self.outputs:
            file, write = WRITERS[name]
            write(self.output_dir / image_id / file, item)
        return {name: f"{image_id}/{WRITERS[name][0]}" for name in self.outputs}
