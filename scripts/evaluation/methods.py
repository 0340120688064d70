"""Evaluates methods on the same images, one after the other, and writes their report.

Each method is an evaluation of its own in `OUTPUT/<method>/<part>`. One that is there, complete, and made of what lies
here now (code, configs, weights, operating points, images) is reused.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from tqdm import tqdm

from scripts.common.files import sha256_of, write_json
from scripts.common.stage import StageError, run_stage
from scripts.data.lists.folder import REPORT_NAME

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
INPUTS, STAGE, FAILED = "inputs.json", "evaluation", "its evaluation failed"
#: method -> overlay after configs/inference.json; "" is inference.json itself
METHODS = {
    "hdogreg": "",
    "slim_fcn": "slim_fcn_inference.json",
    "hdog_alone": "baseline_hdog_alone.json",
    "ciecholewski": "baseline_ciecholewski.json",
    "context_cnn": "baseline_context_cnn_inference.json",
    "deeplab_v3": "baseline_deeplab_v3_inference.json",
    "hdogreg_orientations": "hdogreg_orientations.json",
    "hdogreg_candidates": "hdogreg_candidates.json",
    "network_alone": "baseline_network_alone.json",
    "hdogreg_paper": "hdogreg_paper_inference.json",
    "slim_fcn_paper": "slim_fcn_paper_inference.json",
}
DEFAULT_METHODS = ("hdogreg", "slim_fcn", "hdog_alone", "ciecholewski", "context_cnn", "deeplab_v3")
#: Code that no number of an evaluation depends on: later stages, the tools on evaluations, and training.
WITHOUT_EFFECT = (
    *("training/", "bench/", "sweeps/", "evaluation/report/"),
    *(f"evaluation/{name}.py" for name in ("__main__", "compare", "methods", "readers")),
)


def config_files(method: str, data: str) -> list[str]:
    """Config files of a method's evaluation, in order; without an overlay of the data, generated phantoms."""
    if method not in METHODS:
        raise ValueError(f"methods: got {method!r}; want some of {', '.join(METHODS)}")
    names = ["inference.json", METHODS[method], "evaluate.json"]
    return [f"configs/{name}" for name in names if name] + ([data] if data else [])


def choose_data(
    data: str, dataset_dir: str = "", datalist_file: str = "", section: str = "testing"
) -> tuple[dict[str, Any], str]:
    """What of a data set is evaluated: keys of the bundle that say so, and a name for the evaluation's folder within
    its method's (the data list's name, and the section where that is not "testing").

    `data` is the overlay of the data set, `section` a part of its data list; "" as `dataset_dir` or `datalist_file` is
    the overlay's own. ValueError where a data list is given, and the overlay takes none.
    """
    config = _read(data)
    own = {"datalist_file": config, "source::datalist_file": config.get("source", {})}
    lists = {key: str(part["datalist_file"]) for key, part in own.items() if "datalist_file" in part}
    if datalist_file and not lists:
        raise ValueError(f"datalist_file: got {datalist_file!r}; want none, as {data} reads no data list")
    key, listed = next(iter(lists.items()), ("", ""))
    overrides = {"dataset_dir": dataset_dir, key: datalist_file, "section": section}
    listed = datalist_file or listed
    name = "" if listed.startswith("$") else Path(listed).stem
    part = "_".join(filter(None, (name, "" if name and section == "testing" else section)))
    return {key: value for key, value in overrides.items() if value}, part


def evaluate_all(
    methods: Sequence[str], output: str | Path, part: str, data: str, overrides: Mapping[str, Any], force: bool = False
) -> dict[str, str]:
    """Evaluate methods one after the other; a failure does not keep the others from running.

    {method: why its evaluation is not there, or ""}; a reason begins with `FAILED` where it was tried. Each folder is
    `output`/<method>/`part`. `data` is the overlay of the data set, `overrides` are further keys of the bundle, such as
    dataset_dir; `force` evaluates again what has not changed, too.
    """
    for method in methods:
        config_files(method, data)  # names the unknown one before anything runs
    reasons = {}
    for place, method in enumerate(methods, start=1):
        logger.info("method %d of %d: %s", place, len(methods), method)
        reasons[method] = evaluate_method(method, Path(output) / method / part, data, overrides, force)
        if reasons[method]:
            logger.warning("%s: not run: %s", method, reasons[method])
    return reasons


def evaluate_method(method: str, folder: Path, data: str, overrides: Mapping[str, Any], force: bool = False) -> str:
    """Evaluate one method, or find that nothing has changed since; why it is not there, or "" (see `evaluate_all`)."""
    files = config_files(method, data)
    parser = ConfigParser()
    parser.read_config(files)
    parser.update(dict(overrides))
    weights = str(parser.get_parsed_content("weights") or "")
    if weights and not Path(weights).is_file():
        return f"its weights {weights} are missing"
    wanted = inputs(files, overrides, parser)
    changed = changes(folder, wanted)
    if not changed and not force:
        logger.info("%s: nothing has changed, reused: %s", method, folder)
        return ""
    logger.info("%s: evaluating (%s); log: %s", method, ", ".join(changed) or "forced", folder / f"{STAGE}.log")
    for name in (INPUTS, f"{STAGE}.done.json", f"{STAGE}.log"):
        (folder / name).unlink(missing_ok=True)
    arguments = {"run_id": "evaluating", "config_file": files, **overrides, "output_dir": str(folder)}
    try:
        run_bundle(folder, arguments)
    except StageError as error:
        return f"{FAILED}: {error}"
    write_json(folder / INPUTS, wanted)
    return ""


def run_bundle(folder: Path, arguments: Mapping[str, Any]) -> None:
    """Run the bundle in a process of its own, with a bar of the images done."""
    report = folder / REPORT_NAME
    report.unlink(missing_ok=True)
    with tqdm(desc=folder.parent.name, unit="image") as bar:

        def watch() -> None:
            if report.is_file():
                done = _read(report)
                bar.update(done["images_done"] + done["images_failed"] - bar.n)

        run_stage(folder, STAGE, arguments, watch)
        watch()


def inputs(files: Sequence[str], overrides: Mapping[str, Any], parser: ConfigParser) -> dict[str, Any]:
    """What an evaluation's numbers depend on, as digests: of the operating points those of this method; of images the
    names, sizes and times of all files under `dataset_dir`.
    """
    keys = ("weights", "operating_points::path", "dataset_dir", "method")
    weights, points, data, method = (str(parser.get_parsed_content(key) or "") for key in keys)
    scripts = ROOT / "scripts"
    code = {path.relative_to(scripts).as_posix(): path for path in sorted(scripts.rglob("*.py"))}
    own_points = _read(Path(points)).get(method) if Path(points).is_file() else None
    stats = [(path, path.stat()) for path in sorted(Path(data).expanduser().rglob("*")) if path.is_file()]
    return {
        "configs": {file: sha256_of(file) for file in files},
        "code": _digest(f"{n} {sha256_of(path)}" for n, path in code.items() if not n.startswith(WITHOUT_EFFECT)),
        "weights": sha256_of(weights) if weights else "",
        "operating points": _digest([json.dumps(own_points, sort_keys=True)]),
        "images": _digest(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats),
        "overrides": json.loads(json.dumps(overrides)),
    }


def changes(folder: Path, wanted: Mapping[str, Any]) -> list[str]:
    """Why an evaluation cannot be reused; nothing when it can."""
    if not (folder / "metrics.json").is_file() or not (folder / REPORT_NAME).is_file():
        return ["not there yet"]
    report = _read(folder / REPORT_NAME)
    if report["state"] != "finished" or report["exit_status"]:
        return ["not complete"]
    if not (folder / INPUTS).is_file():
        return ["made without a record of its inputs"]
    made = _read(folder / INPUTS)
    return [f"{name} changed" for name, value in wanted.items() if made.get(name) != value]


def _read(path: str | Path) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
