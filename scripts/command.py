"""The command `mammo-mc`, in a checkout `python -m scripts.command`: it runs the bundle's own configs.

Exit status: 0 done; 1 an image has no result, or a result folder is not as it was written; 2 wrong input, with one
line `error: ...` last; 3 all images have results, but an analysis of one failed; 130 ended by Ctrl-C. Nothing that is
typed is evaluated.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from logging.config import fileConfig
from pathlib import Path
from typing import Any, NoReturn

from scripts.archive.options import add_options as add_archive
from scripts.common.checks import check
from scripts.common.command_line import Parser
from scripts.common.interrupt import leave

# The rest is imported where it is used, so that --help answers at once.


def segment(studies: bool, **given: Any) -> int:
    """Segment a mammogram, or a folder of them."""
    files, values = _run_over_images(**given)
    return _run(files, values | {"studies::follows_run": studies})


def cluster(workers: int, address: str, cpus_per_worker: float, gpus_per_worker: float, **given: Any) -> int:
    """Segment a folder of very many mammograms by several workers, which Ray starts on one machine or many."""
    from scripts.cluster import Workers, run

    run(*_run_over_images(**given), Workers(workers, address, cpus_per_worker, gpus_per_worker))
    return 0


def evaluate(
    dataset: str, output: str, datalist: str, section: str, phantoms: bool, data_note: str, **more: Any
) -> int:
    """Evaluate a method on labelled mammograms."""
    choice, overlays, progress = _choice(**more)
    files = [*choice.files("evaluate.json", *([] if phantoms else ["data_generic.json"])), *overlays]
    values: dict[str, Any] = {"dataset_dir": Path(dataset), "output_dir": Path(output), "progress": progress}
    values |= {"section": section, "data_note": data_note}
    if not phantoms:
        values["source::datalist_file"] = Path(datalist)
    return _run(files, values | choice.values())


def study(output: str, input: str, outputs: list[str], follow_ups: str, group_files_by: str, **who: str) -> int:
    """Put the results of each study together: study.json, one page to look at, one CAD report."""
    from scripts.common.identity import Identity
    from scripts.data.lists.folder import list_mammograms
    from scripts.outputs.study.studies import FILES, Studies

    fileConfig(Path(__file__).parents[1] / "configs" / "logging.conf", disable_existing_loggers=False)
    identity = Identity(who["identity"], who["key_file"])
    images = list_mammograms(input, identity) if input else []
    more: dict[str, Any] = {"outputs": outputs or list(FILES), "follow_ups": follow_ups, "identity": identity}
    return int(Studies(output, images, group_files_by=group_files_by, **more).write() > 0)


def archive(**given: Any) -> int:
    """Segment the mammograms of an archive: studies in, results back to it."""
    from scripts.archive.options import run

    names = ("method", "preset", "score_threshold", "weights", "device", "set", "config", "quiet")
    choice, overlays, progress = _choice(**{name: given.pop(name) for name in names})
    check("--config", overlays, not overlays, "--set, or weights and presets of a method")
    return run(choice, progress, given)


def verify(folder: str, key_file: str) -> int:
    """Check that a result folder is as it was written."""
    from scripts.outputs.manifest import main as check_folder

    check_folder([folder, *(["--key_file", key_file] if key_file else [])])
    return 0


def info() -> int:
    """Tell what is installed."""
    from scripts.api import BUNDLE, METHODS, Choice, configured
    from scripts.common.provenance import package_versions

    points = json.loads((BUNDLE / "models" / "operating_points.json").read_text(encoding="utf-8"))
    lines = [f"bundle: {BUNDLE}", *(f"{name}: {version}" for name, version in package_versions().items())]
    for name in METHODS:
        choice = Choice(name)
        parser = configured(choice.files(), choice.values())
        title, weights = parser["method"], str(parser.get_parsed_content("weights") or "")
        there = (
            "no network" if not weights else Path(weights).name + ("" if Path(weights).is_file() else " (not shipped)")
        )
        threshold = parser["score_threshold"]
        named = ", ".join(points.get(title, {}).get("presets", {})) if isinstance(threshold, str) else ""
        lines.append(f"method {name}: {title}; {there}; " + (f"presets {named}" if named else f"threshold {threshold}"))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _run_over_images(
    input: str, output: str, redo: bool, identity: str, key_file: str, sign_key: str, outputs: list[str], **more: Any
) -> tuple[list[str], dict[str, Any]]:
    """Config files of a run, and what their keys are set to."""
    from scripts.data.reader.isolation import start_ahead

    start_ahead()
    choice, overlays, progress = _choice(**more)
    from scripts.api import check_preset, configured

    files = [*choice.files(), *overlays]
    check_preset(choice, configured(files, choice.values()))
    values = {"input_dir": Path(input), "output_dir": Path(output), "redo": redo, "progress": progress}
    values |= {"identity::mode": identity}
    values |= {
        key: Path(file) for key, file in (("identity::key_file", key_file), ("run_report::key_file", sign_key)) if file
    }
    return files, values | ({"outputs": outputs} if outputs else {}) | choice.values()


def _choice(
    method: str,
    preset: str,
    score_threshold: float | None,
    weights: str,
    device: str,
    set: list[str],
    config: list[str],
    quiet: bool,
) -> tuple[Any, list[str], bool]:
    """The Choice, further config files, and whether progress is shown."""
    from scripts.common.later import imported_later, without_collecting

    with without_collecting():
        with imported_later():
            from monai.bundle import ConfigParser
        from scripts.api import Choice

    for file in config:
        try:
            ConfigParser.load_config_file(file)
        except (ValueError, OSError) as error:
            raise ValueError(f"--config: got {file} ({error}); want a config file that can be read") from error
    settings = dict(map(_setting, set))
    return Choice(method, preset, score_threshold, weights, device, settings), config, not quiet


def _setting(text: str) -> tuple[str, Any]:
    """ "key=value", the value as JSON where it is JSON, else as text."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ValueError(f"--set: got {text!r}; want key=value")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _run(files: Sequence[str], values: Mapping[str, Any]) -> int:
    """Run config files, as `monai.bundle run` does, with keys set to values."""
    from scripts.api import prepared
    from scripts.common.errors import end_with_one_line
    from scripts.common.later import without_collecting

    with without_collecting():
        workflow = prepared(files, values)
    end_with_one_line()  # after the logging config, which it adds to
    workflow.run()
    workflow.finalize()
    return 0


def make_parser() -> Parser:
    """All sub-commands and their options."""
    status = (
        "exit status: 0 done; 1 an image failed, or results differ; 2 wrong input; 3 part of one failed; 130 Ctrl-C"
    )
    about = "Microcalcifications in mammograms. Research use only; not a medical device."
    parser = Parser(prog="mammo-mc", description=about, epilog=status)
    commands = parser.add_subparsers(required=True, metavar="{segment,study,cluster,evaluate,archive,verify,info}")

    def command(run: Any, text: str) -> Any:
        sub = commands.add_parser(run.__name__, help=text, description=run.__doc__, epilog=status)
        sub.set_defaults(run=run)
        return sub.add_argument

    add = command(segment, "find microcalcifications: masks, numbers, pictures")
    _add_images(add)
    add("--studies", action="store_true", help="then `mammo-mc study` on the results")

    add = command(cluster, "the same by several workers, on one machine or many (Ray)")
    _add_images(add)
    add("--workers", type=int, required=True, metavar="N", help="each with one network, in a process of its own")
    add("--address", default="", help="a running Ray cluster, `auto` for this machine's; without, Ray is started here")
    add("--cpus-per-worker", type=float, default=1.0, metavar="N", help="cores, and threads, of each (default: 1)")
    add("--gpus-per-worker", type=float, default=0.0, metavar="N", help="GPUs of each, e.g. 0.5 (default: 0)")

    add = command(study, "put the results of each study together: JSON, a page to look at, a CAD report")
    add("output", help="folder of results; the studies are written into studies/ there")
    add("--input", default="", help="what was segmented, where the results do not say, or to see what is still missing")
    names = "study page cad_sr"
    add("--outputs", nargs="+", default=[], choices=names.split(), metavar="NAME", help=f"files to write, of: {names}")
    add("--follow-ups", default="", help="folder with results of follow-ups (follow_up.json) of these images")
    rule = "images without a study UID belong together by their names, folder or not at all"
    add("--group-files-by", default="name", choices=("name", "folder", "image"), help=rule)
    add("--identity", default="full", choices=("full", "pseudonym", "none"), help="as for `segment`")
    add("--key-file", default="", help="secret for --identity pseudonym")

    add = command(evaluate, "FROC, IoU and tables on labelled images")
    add("dataset", help="folder with a data list (docs/data.md)")
    add("output", help="folder of the results")
    _add_choice(add)
    add("--datalist", default="datalist.json", help="its data list, JSON or CSV (default: datalist.json)")
    add("--section", default="testing", choices=("training", "validation", "testing"), help="part that is evaluated")
    add("--phantoms", action="store_true", help="generate simulated mammograms in the dataset folder, evaluate on them")
    add("--data-note", default="", help="a remark for the report")

    add = command(archive, "segment the mammograms of an archive, results back to it")
    add_archive(add)
    _add_choice(add)

    add = command(verify, "check that a result folder is as it was written")
    add("folder", help="with a run_report.json")
    add("--key-file", default="", help="the key that the report was signed with")

    command(info, "version, methods, presets, where the bundle lies")
    return parser


def _add_images(add: Any) -> None:
    add("input", help="a mammogram (DICOM, PNG, TIFF, JPEG, NIfTI), or a folder that is searched")
    add("output", help="folder of the results; finished images in it are kept")
    _add_choice(add)
    add("--redo", action="store_true", help="do finished images again")
    add("--identity", default="full", choices=("full", "pseudonym", "none"), help="what results tell of patients")
    add("--key-file", default="", help="secret for --identity pseudonym")
    add("--sign-key", default="", help="secret that the run report is signed with")
    names = "mask instances map mask_nrrd instances_nrrd heat_map picture table clusters "
    names += "segmentation segmentation_labelmap report_sr cad_sr findings all"
    add("--outputs", nargs="+", default=[], choices=names.split(), metavar="NAME", help=f"files to write, of: {names}")


def _add_choice(add: Any) -> None:
    add("--method", default="hdogreg", help="hdogreg (default), slim_fcn, ...; `mammo-mc info` lists them")
    add("--preset", default="", help="specific, balanced (default) or sensitive")
    add("--score-threshold", type=float, help="in place of a preset, [0, 1]")
    add("--weights", default="", help="file of yours in place of the method's weights")
    add("--device", default="", help="cpu, cuda, cuda:1 (default: a GPU where there is one)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configs, e.g. tiles::tile_px=512")
    config = "a further config; configs are code: only use what you trust"
    add("--config", action="append", default=[], metavar="FILE", help=config)
    add("--quiet", action="store_true", help="no progress bar")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit status is returned."""
    try:
        given = vars(make_parser().parse_args(arguments))
        status: int = given.pop("run")(**given)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except (Exception, KeyboardInterrupt) as error:
        return _told(error)
    return status


def _told(error: BaseException) -> int:
    """Tell what went wrong, its line being the last of stderr; gives the exit status."""
    from scripts.common.errors import report_uncaught

    try:
        report_uncaught(type(error), error, error.__traceback__)
    except SystemExit as end:
        return int(end.code or 0)
    return 1


def program() -> NoReturn:
    """`main` as a program."""
    leave(main())


if __name__ == "__main__":
    program()
