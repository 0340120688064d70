"""Stored results evaluated as a run is: their marks take the place of what a method finds."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigWorkflow
from tqdm import tqdm

from scripts.common.errors import root_cause
from scripts.common.tensors import plane
from scripts.data.lists.folder import FAILURE, describe_failure
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.methods import choose_data, config_files
from scripts.outputs.stored import StoredResults

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class StoredRun:
    """In an evaluation's place of an evaluator: reads marks back instead of finding them.

    Marks without scores have the score 1; marks that are not counted are left out. An image without a result, or that
    failed, is a failure, and none without findings.
    """

    results: StoredResults
    dataset: Sequence[dict[str, Any]]  # loaded images with their labels, or failure records
    handler: FROCHandler

    def run(self) -> None:
        """Score all images."""
        for number in tqdm(range(len(self.dataset)), desc=self.results.kind, unit="image", disable=None):
            item = self.dataset[number]
            failure = item.get(FAILURE) or self._score(item)
            if failure is not None:
                logger.error("left out: %s: %s", failure["file"], failure["reason"])
                self.handler.failures.append(dict(failure))

    def _score(self, item: dict[str, Any]) -> dict[str, str] | None:
        meta, (rows, cols) = item["image"].meta, plane(item["image"]).shape
        try:
            marks = self.results.marks(meta, (rows, cols))
        except (ValueError, OSError) as error:
            return describe_failure(str(meta.get("filename_or_obj", "")), "reading results", error)
        found = {"instances": marks.instances[None], "scores": np.nan_to_num(marks.scores, nan=1.0), "report": {}}
        self.handler.cases.append(self.handler.score(item, {**item, **found}))
        return None


def evaluate_stored(folder: str | Path, kind: str, data: str, output: str | Path, note: str = "", **chosen: str) -> int:
    """Evaluate stored results on a labelled data set; status 1 when an image of it has no result.

    `data` and `chosen` are those of `choose_data`. What is written is what a run's evaluation writes, but pixel curves.
    """
    values, _ = choose_data(data, **chosen)
    values |= {"results::folder": str(folder), "results::kind": kind, "output_dir": str(output), "data_note": note}
    workflow = ConfigWorkflow(
        config_file=[*config_files("hdogreg", data), "configs/evaluate_stored.json"],
        workflow_type="infer",
        run_id="evaluating",
        **values,
    )
    try:
        workflow.initialize()
        workflow.run()
    except RuntimeError as error:  # MONAI's, around what is wrong with the folder or the data
        raise root_cause(error) from error
    return int(bool(workflow.parser.get_parsed_content("froc").failures))
