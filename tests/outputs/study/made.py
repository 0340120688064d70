"""A folder of results as a run leaves it, of mammograms drawn by hand."""

import json

from scripts.common.identity import Identity
from scripts.data.reader.mammogram_reader import Reading
from scripts.outputs.dicom.tracking import with_tracking_uids
from scripts.outputs.study.studies import Studies
from scripts.outputs.writer import FindingsWriter
from tests.outputs.dicom.drawn import drawn_item, mammogram_file

POINTS = {"sensitive": {"threshold": 0.1}, "balanced": {"threshold": 0.5}, "specific": {"threshold": 0.8}}


def add_result(output, file, image_id="", identity=None, **drawn):
    """Write the results of a mammogram's file."""
    identity, image_id = identity or Identity(), image_id or file.stem
    item = drawn_item(file, **{"clusters": True, "presets": POINTS, **drawn})
    item["report"] = with_tracking_uids(identity.report(item["report"], image_id), str(file))
    FindingsWriter(output, ("instances", "findings"), identity).write(image_id, item)
    return item["report"]


def add_failure(output, file, image_id="", reason="ValueError: got rubbish; want a mammogram", identity=None):
    """Write the record of a failed one."""
    identity, image_id = identity or Identity(), image_id or file.stem
    failure = identity.failure({"file": str(file), "stage": "reading", "reason": reason}, image_id)
    folder = output / image_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure.json").write_text(json.dumps({"schema": "microcalcification-failure-1", **failure}))


def four_views(folder, seed=1):
    """Files of one study, {"RCC": path, ...}."""
    folder.mkdir(parents=True, exist_ok=True)
    return {side + view: mammogram_file(folder, side, view, seed) for side in "RL" for view in ("CC", "MLO")}


def written(output, **options):
    """study.json of each study, by its name."""
    assert Studies(output, **{"reading": Reading(isolated=False), **options}).write() == 0
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(output.glob("studies/*/study.json"))}
