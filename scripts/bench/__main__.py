"""Command line of the bench: `python -m scripts.bench [--only PART ...] [--growth [SWEEP ...]]`.

Prints each table when it is measured and writes all so far to `bench.md`, `bench.json` and, of sweeps, `growth.png` in
--output_dir. Times depend on what else the machine does; CPU times, printed beside them, much less.
"""

import argparse
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.bench.commands import command_section, run_command, untrained_weights
from scripts.bench.findings import findings_section
from scripts.bench.floors import machine_speed, speed_section, stage_section
from scripts.bench.growth import SWEEPS, growth_sections
from scripts.bench.measure import in_fresh_process
from scripts.bench.outputs import outputs_section
from scripts.bench.picture import growth_picture
from scripts.bench.references import bench_candidates, bench_network, plain_map, shipped_map
from scripts.bench.report import Row, Section, as_json, as_markdown, machine
from scripts.bench.scoring import scoring_section
from scripts.bench.stages import HDOGREG, METHODS, PAPER, ROOT, SLIM_FCN, stage_times
from scripts.bench.training import RECIPES, training_rows, training_section
from scripts.common.files import write_json
from scripts.common.tables import write_text
from scripts.data.lists.folder import list_mammograms
from scripts.simulation.phantom import phantom_images

PARTS = ("candidates", "stages", "network", "command", "training", "scoring", "findings", "outputs")
OF_NO_FILES = ("scoring", "findings", "outputs")  # parts that draw what they need
logger = logging.getLogger("scripts.bench")


def mammograms(args: argparse.Namespace) -> list[str]:
    """Files that are timed: the user's, or generated ones, made once."""
    if args.input_dir:
        return [item["image"] for item in list_mammograms(args.input_dir)][: args.images]
    folder = Path(args.data_dir) / f"phantoms_{args.rows}x{args.cols}"
    logger.info("generated mammograms: %s", folder)
    return [item["image"] for item in phantom_images(folder, count=args.images, shape=(args.rows, args.cols))]


def sections(args: argparse.Namespace, files: list[str], folder: str) -> Iterator[Section]:
    """Run the chosen parts, each in processes of its own, and hand out each table when it is measured."""
    parts = set(PARTS if args.only is None else args.only)
    weights = {method.name: args.weights for method in METHODS}
    weights[SLIM_FCN.name] = args.slim_fcn_weights
    if "candidates" in parts:
        logger.info("candidates")
        yield in_fresh_process(bench_candidates, files[0], args.runs, args.reference_runs)
    if "stages" in parts:
        speed = in_fresh_process(machine_speed)
        yield speed_section(speed)
        for method in METHODS:
            logger.info("stages of %s", method.name)
            chosen = files[: 1 if method is SLIM_FCN else 2]
            times = in_fresh_process(stage_times, method, chosen, f"{folder}/stages", args.runs, weights[method.name])
            yield stage_section(times, speed)
    if "network" in parts:
        for method in (SLIM_FCN, HDOGREG):
            logger.info("network of %s against the plain one", method.name)
            common = (method, files[0], f"{folder}/network")
            shipped = in_fresh_process(shipped_map, *common, args.runs, weights[method.name])
            plain = in_fresh_process(plain_map, *common, args.reference_runs, weights[method.name])
            both = (method, shipped, plain, *common[1:], weights[method.name])
            yield in_fresh_process(bench_network, *both)
    if "command" in parts:
        rows: list[Row] = []
        for method, count in ((HDOGREG, 1), (HDOGREG, len(files)), (SLIM_FCN, len(files))):
            logger.info("command: %s, %d image(s)", method.name, count)
            place = f"{folder}/command_{len(rows)}"
            rows.append(run_command(method, files[:count], place, weights[method.name]))
        logger.info("command: %s, 1 image", PAPER.name)
        untrained = untrained_weights(PAPER, Path(folder, "untrained.pt"))
        rows.append(run_command(PAPER, files[:1], f"{folder}/command_paper", untrained))
        yield command_section(rows)
    if "training" in parts:
        rows, backgrounds = list[Row](), args.background_dir or str(Path(files[0]).parent)
        for recipe in RECIPES:
            for workers in args.workers:
                logger.info("training: %s, %d worker(s)", recipe, workers)
                steps = (recipe, backgrounds, f"{args.data_dir}/training", workers, args.steps, args.repeats)
                rows += in_fresh_process(training_rows, *steps)
        yield training_section(rows, args.steps, args.repeats)
    if "scoring" in parts:
        logger.info("evaluation")
        yield in_fresh_process(scoring_section)
    if "findings" in parts:
        logger.info("findings")
        yield in_fresh_process(findings_section, args.runs)
    if "outputs" in parts:
        logger.info("outputs")
        Path(folder, "outputs").mkdir()
        yield in_fresh_process(outputs_section, f"{folder}/outputs", args.mcs, (args.rows, args.cols), args.runs)
    if args.growth is not None:
        yield from growth_sections(args.growth or SWEEPS, files, f"{folder}/growth", 2, weights)


def write(found: list[Section], about: dict, folder: Path) -> None:
    """`bench.md`, `bench.json` and, after sweeps, `growth.png` of the tables so far."""
    write_text(folder / "bench.md", as_markdown(found, about))
    write_json(folder / "bench.json", as_json(found, about))
    growth_picture({section.title: section.rows for section in found}, folder / "growth.png")


def main() -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure the bundle's speed and memory, part by part.")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="parts to measure, or none; default: all")
    parser.add_argument("--growth", nargs="*", choices=SWEEPS, help="sweeps to measure too; without names: all")
    parser.add_argument("--input_dir", help="mammograms to time; default: generated ones")
    parser.add_argument("--background_dir", help="normal mammograms for training patches; default: the generated ones")
    parser.add_argument("--images", type=int, default=20, help="images of the end-to-end run")
    parser.add_argument("--rows", type=int, default=3328, help="rows of a generated image")
    parser.add_argument("--cols", type=int, default=2560, help="columns of a generated image")
    parser.add_argument("--mcs", type=int, default=200, help="microcalcifications of the outputs that are timed")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of the shipped code; medians are shown")
    parser.add_argument("--reference-runs", type=int, default=1, help="timed runs of plain references")
    parser.add_argument("--steps", type=int, default=8, help="training steps of a turn")
    parser.add_argument("--repeats", type=int, default=3, help="turns of the training part")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="patch-making processes to try")
    parser.add_argument("--weights", help="HDoGReg's weights; default: the shipped ones")
    parser.add_argument("--slim_fcn_weights", help="slim FCN's weights; default: the shipped ones")
    parser.add_argument("--data_dir", default=str(ROOT / "data" / "bench"), help="generated images are kept here")
    parser.add_argument("--output_dir", default=str(ROOT / "output" / "bench"), help="bench.md, bench.json, growth.png")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    drawn = args.growth is None and args.only is not None and set(args.only) <= set(OF_NO_FILES)
    files, found, about = [] if drawn else mammograms(args), list[Section](), machine()
    with tempfile.TemporaryDirectory() as folder:
        for section in sections(args, files, folder):
            found.append(section)
            write(found, about, Path(args.output_dir))
            print(section.markdown(), flush=True)


if __name__ == "__main__":
    main()
