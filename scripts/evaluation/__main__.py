"""The evaluation's tools, one command each.

    python -m scripts.evaluation COMMAND ...      methods stored report failures compare readers summary kinds fit-kinds
                                                  slices inserted

Exit status: 0; 1 when an evaluation failed or something was left out; 2 for wrong input, with one line
`error: ...` last.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.common.command_line import Parser
from scripts.common.files import write_json
from scripts.evaluation.cases import HitRule
from scripts.evaluation.compare import compare
from scripts.evaluation.fit_kinds import fit_kinds
from scripts.evaluation.inserted import evaluate_inserted
from scripts.evaluation.kinds import measure_kinds
from scripts.evaluation.matching import GREEDY, OPTIMAL
from scripts.evaluation.methods import DEFAULT_METHODS, FAILED, METHODS, choose_data, evaluate_all
from scripts.evaluation.readers import compare_readers
from scripts.evaluation.report.build import write_report
from scripts.evaluation.report.pictures import write_failures
from scripts.evaluation.report.runs import METRICS
from scripts.evaluation.report.tables import summarise
from scripts.evaluation.slices import measure_slices
from scripts.evaluation.statistics import IMAGE, PATIENT, Bootstrap
from scripts.evaluation.stored import evaluate_stored
from scripts.outputs.stored import KINDS

logger = logging.getLogger("scripts.evaluation")


def run_methods(
    methods: Sequence[str], data: str, output: Path | None, report: Path, note: str, force: bool, **chosen: str
) -> int:
    """Evaluate methods and report them; status 1 when an evaluation failed."""
    overrides, part = choose_data(data, **chosen)
    output = output or Path("runs") / Path(data).stem.removeprefix("data_")
    reasons = evaluate_all(methods, output, part, data, overrides, force)
    missing = [f"{method}: {reason}" for method, reason in reasons.items() if reason]
    folders = [output / method / part for method, reason in reasons.items() if not reason]
    logger.info("report: %s", write_report(folders, report, note, not_run=missing))
    return int(any(reason.startswith(FAILED) for reason in reasons.values()))


def run_compare(first: Path, second: Path, output: Path, fp_limit: float, **bootstrap: Any) -> Path:
    """Compare two evaluations."""
    return write_json(output, compare(first, second, Bootstrap(**bootstrap), fp_limit=fp_limit))


def run_readers(
    first: Path, second: Path, images: Path | None, output: Path, hit_distance_mm: float, hit_iou: float, **options: Any
) -> int:
    """Compare two readers; status 1 when a file was left out."""
    found = compare_readers(first, second, images, rule=HitRule(hit_distance_mm, hit_iou), **options)
    logger.info("%d images compared: %s", found["images"], write_json(output, found))
    return int(bool(found["failures"] or any(found["unmatched"].values())))


def run_summary(folders: Sequence[Path]) -> int:
    """Print one table; status 1 when a folder holds no evaluation."""
    sys.stdout.write(summarise(folders))
    return int(not all((folder / METRICS).is_file() for folder in folders))


def make_parser() -> Parser:
    """All commands. Options are arguments of a function, which returns an exit status or a file written."""
    parser = Parser(prog="python -m scripts.evaluation", description="Compare, report and summarise evaluations.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Callable[..., int | Path], text: str) -> Callable[..., Any]:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made.add_argument

    add = command("methods", run_methods, "evaluate methods on the same images and report them")
    add("--methods", nargs="+", default=list(DEFAULT_METHODS), help=f"the reference first, of {', '.join(METHODS)}")
    add("--data", default="configs/data_benchmark.json", help="overlay of the data set")
    add("--dataset-dir", default="", help="folder of the data set (default: the overlay's)")
    add("--datalist-file", default="", help="data list, for overlays that take one")
    add("--section", default="testing", help="part of the data list")
    add("--output", type=Path, help="folder of the evaluations (default: runs/<data set>)")
    add("--report", type=Path, default=Path("runs/report"), help="folder of the report")
    add("--note", default="", help="statement about the data (default: data_note of the config)")
    add("--force", action="store_true", help="evaluate again what could be reused")

    add = command("stored", evaluate_stored, "evaluate results of a folder, or that an archive sent: JSON or DICOM")
    add("folder", type=Path, help="results of a run, or DICOM results of this bundle in any order")
    add("--kind", default="", choices=("", *KINDS), help="what to read (default: the first of these that is there)")
    add("--data", default="configs/data_generic.json", help="overlay of the data set that has the labels")
    add("--dataset-dir", default="", help="folder of the data set (default: the overlay's)")
    add("--datalist-file", default="", help="data list, for overlays that take one")
    add("--section", default="testing", help="part of the data list")
    add("--output", type=Path, default=Path("runs/stored"), help="folder of the evaluation")
    add("--note", default="", help="statement about the data")

    add = command("report", write_report, "one page from evaluations of several methods on the same images")
    add("folders", type=Path, nargs="+", help="output folders of evaluations, the reference first")
    add("--output", type=Path, default=Path("runs/report"), help="folder of the report")
    add("--note", default="", help="statement about the data (default: the evaluation's data_note)")
    add("--names", nargs="+", default=(), help="what to call the methods (default: as evaluated)")
    add("--not-run", nargs="+", default=(), help="methods that are missing and why, one text each")
    add("--title", default="", help="heading of the page")
    add("--cases", type=int, default=1, help="best, median and worst images shown, of each")

    add = command("failures", write_failures, "a picture of a method's largest missed MCs and highest false marks")
    add("folder", type=Path, help="output folder of an evaluation")
    add("--datalist", required=True, help="data list that was evaluated, JSON or CSV")
    add("--dataset-dir", default="", help="start of its relative paths (default: its own folder)")
    add("--output", type=Path, default=Path("failures.png"), help="PNG file")
    add("--count", type=int, default=8, help="failures of each kind")
    add("--side-mm", type=float, default=6.0, help="side of a window")
    add("--spacing-mm", type=float, default=0.07, help="pixel size of files that tell none")

    add = command("compare", run_compare, "paired differences of two evaluations of the same images, with tests")
    add("first", type=Path, help="output folder of an evaluation")
    add("second", type=Path, help="output folder of the other one; differences are first - second")
    add("--output", type=Path, default=Path("comparison.json"), help="file to write")
    add("--samples", type=int, default=1000, help="bootstrap samples")
    add("--unit", default=IMAGE, choices=(IMAGE, PATIENT), help="what is resampled")
    add("--seed", type=int, default=0, help="of the bootstrap")
    add("--fp-limit", type=float, default=1.0, help="pAUC is over 0 to this many FP per cm^2")

    add = command("readers", run_readers, "agreement of two readers, or of a reader and the bundle's masks")
    add("first", type=Path, help="folder of the first reader's labels, or of the bundle's results")
    add("second", type=Path, help="folder of the second one's, by the same file names")
    add("--output", type=Path, default=Path("agreement.json"), help="file to write")
    add("--images", type=Path, help="folder of the mammograms: pixel spacing, breast mask, size")
    add("--spacing-mm", type=float, default=0.07, help="pixel spacing where no image gives one")
    add("--hit-distance-mm", type=float, default=0.35, help="farthest centroids of the same object")
    add("--hit-iou", type=float, default=0.3, help="or else the smallest overlap of the same object")
    add("--matching", default=GREEDY, choices=(GREEDY, OPTIMAL), help="who is paired with whom")
    add("--cell-mm", type=float, default=2.0, help="side of the cells that kappa counts")
    add("--samples", type=int, default=1000, help="bootstrap samples of images")
    add("--seed", type=int, default=0, help="of the bootstrap")

    add = command("kinds", measure_kinds, "how kinds of calcification inserted into normal mammograms are typed")
    add("--background-dir", required=True, help="folder of normal mammograms")
    add("--output", type=Path, default=Path("kinds.json"), help="file to write")
    add("--section", default="testing", choices=("training", "validation", "testing"), help="part of the folder")
    add("--images", type=int, default=10, help="number of images, the first of the part")
    add("--seed", type=int, default=0, help="of what is inserted")
    add("--weights", default="models/model.pt", help="of the default network")

    add = command(
        "inserted", evaluate_inserted, "which simulated MCs were found, by d', size, contrast, kind and group"
    )
    add("folder", type=Path, help="output folder of an evaluation of a frozen benchmark of version 2")
    add("--dataset-dir", type=Path, default=Path("data/benchmark_2"), help="folder of the benchmark")
    add("--datalist-file", default="datalist.json", help="its data list that was evaluated")
    add("--samples", type=int, default=1000, help="bootstrap samples of images")
    add("--seed", type=int, default=0, help="of the bootstrap")

    add = command("slices", measure_slices, "touching, large and superficial MCs, with parting and wholes off and on")
    add("--background-dir", required=True, help="folder of normal mammograms")
    add("--output", type=Path, default=Path("slices.json"), help="file to write; a table in Markdown goes beside it")
    add("--section", default="testing", choices=("training", "validation", "testing"), help="part of the folder")
    add("--images", type=int, default=16, help="number of images, the first of the part")
    add("--seed", type=int, default=0, help="of what is inserted")
    add("--weights", default="models/model.pt", help="of the default network")

    add = command("fit-kinds", fit_kinds, "fit the model of vascular marks on training backgrounds")
    add("--background-dir", required=True, help="folder of normal mammograms")
    add("--output", type=Path, default=Path("vascular_weights.json"), help="file to write")
    add("--images", type=int, default=1000, help="number of images, the first of the training part")
    add("--weights", default="models/model.pt", help="of the default network")

    add = command("summary", run_summary, "print one Markdown table of several evaluations")
    add("folders", type=Path, nargs="+", help="output folders of evaluations")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text for the exit status, which is returned."""
    given = vars(make_parser().parse_args(arguments))
    try:
        result = given.pop("run")(**given)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if isinstance(result, Path):
        logger.info("written: %s", result)
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    sys.exit(main())
