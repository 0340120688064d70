"""The bundle as a Python function: an array or a file in, findings out. It runs the same configs as the command line.

findings = segment("image.dcm", preset="sensitive")
segmenter = Segmenter(method="slim_fcn")  # for many images: loads the network once
findings = segmenter(array, spacing_mm=0.07)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor

from scripts.common.checks import check
from scripts.common.config_check import check_config, check_device, nearest
from scripts.common.errors import root_cause
from scripts.common.memory import keep_freed_memory
from scripts.common.objects import Microcalcification
from scripts.common.provenance import bundle_version, describe_weights
from scripts.common.settings import describe
from scripts.common.tensors import plane
from scripts.data.reader.mammogram_reader import Reading, mammogram_of_array
from scripts.evaluation.methods import METHODS
from scripts.outputs.dicom.tracking import with_tracking_uids
from scripts.outputs.dicom.writers import is_dicom_input
from scripts.outputs.manifest import digest_of
from scripts.transforms import LoadMammogramd

BUNDLE = Path(__file__).resolve().parents[1]
#: What MONAI's parser does with texts: evaluates ($), refers (@), includes (%), replaces (#, @::).
EVALUATED, CHANGED = ("$", "@", "%"), ("#", "@::", "%::")


@dataclass(frozen=True)
class Choice:
    """What a user chooses of the bundle; its configs say the rest."""

    method: str = "hdogreg"  # a key of `METHODS`
    preset: str = ""  # "specific", "balanced", "sensitive"; "" is the config's own
    score_threshold: float | None = None  # in place of a preset's, [0, 1]
    weights: str | Path = ""  # "" are the method's own
    device: str | torch.device = ""  # as for torch.device; "" is a GPU where there is one
    settings: Mapping[str, Any] = field(default_factory=dict)  # further keys of the configs, e.g. "tiles::tile_px"

    def __post_init__(self) -> None:
        check("method", self.method, self.method in METHODS, f"one of {', '.join(METHODS)}")
        check("settings", self.settings, isinstance(self.settings, Mapping), "keys of the configs and their values")
        given, want = self.score_threshold, "a number in [0, 1]"
        number = given is None or (isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1)
        check("score_threshold", given, number, want)
        check("score_threshold", given, given is None or not self.preset, f"none beside the preset {self.preset!r}")

    def files(self, *overlays: str) -> list[str]:
        """Config files of the method, then the bundle's `overlays`."""
        names = ["inference.json", METHODS[self.method], *overlays]
        return [str(BUNDLE / "configs" / name) for name in names if name]

    def values(self) -> dict[str, Any]:
        """Keys of the configs and what they are set to: nothing that MONAI's parser would evaluate or change."""
        check("the bundle's folder", str(BUNDLE), not _is_altered(str(BUNDLE)), "a path without #")
        chosen: dict[str, Any] = {"preset": self.preset or None, "score_threshold": self.score_threshold}
        chosen["weights"] = Path(self.weights).expanduser() if str(self.weights) else None
        if self.device:
            check_device(self.device)
            chosen["device"] = torch.device(self.device)
        chosen = {key: value for key, value in chosen.items() if value is not None} | dict(self.settings)
        return {"bundle_root": str(BUNDLE)} | {key: as_literal(key, value) for key, value in chosen.items()}


@dataclass(frozen=True)
class Findings:
    """What was found in one mammogram, on its own pixel grid, as it is displayed (never mirrored)."""

    microcalcifications: list[Microcalcification]  # all marks; the report says of which kind, and which are counted
    mask: np.ndarray  # uint8 (rows, cols): 1 = counted MC
    instances: np.ndarray  # int32 (rows, cols): the id of each mark, 0 elsewhere
    map: np.ndarray  # float32 (rows, cols): what the method scores by (for networks: probability, [0, 1])
    report: dict[str, Any]  # what findings.json says


class Segmenter:
    """A method with its network loaded, to be called with one mammogram after the other.

    Arguments are the fields of `Choice`. The C library of this process is set to keep freed memory (scripts/common/
    memory.py), which halves the time of a network on a processor.

    Raises:
        ValueError, OSError: something given is wrong or missing; one line names it.
    """

    def __init__(self, method: str = "hdogreg", **choice: Any) -> None:
        self.choice = Choice(method, **choice)
        files = self.choice.files()
        parser = configured(files, self.choice.values())
        check_preset(self.choice, parser)
        check_config(parser, spared=defined_keys(files))
        with _Causes():
            self.reading: Reading = parser.get_parsed_content("reading")
            self.preprocessing = parser.get_parsed_content("preprocessing")
            self.network = parser.get_parsed_content("network").eval()  # not per call: threads may share it
            self.device = torch.device(parser.get_parsed_content("device"))
            self.inferer = parser.get_parsed_content("inferer")
            self.postprocessing = parser.get_parsed_content("postprocessing")
            parser.get_parsed_content("load_weights").load(self.network)
            names = ("method", "operating_point", "scoring", "analysis")
            self.settings = describe({name: parser.get_parsed_content(name) for name in names})
            self.weights = describe_weights(parser.get_parsed_content("weights"))
        self.method: str = parser["method"]
        keep_freed_memory()

    @property
    def basis(self) -> str:
        """Digest of what results depend on, besides the image: settings, weights, version of the bundle."""
        weights = None if self.weights is None else self.weights["sha256"]
        return digest_of([self.settings, weights, bundle_version()])

    def __call__(self, image: Any, spacing_mm: float | Sequence[float] | None = None) -> Findings:
        """Find the MCs of one mammogram.

        Args:
            image: a file (path), or an array (rows, cols) with MCs bright: floats in [0, 1], or integers, which are
                scaled as those of a PNG.
            spacing_mm: pixel size of an array, one number or (row, col). Of a file one number, for where the file does
                not tell. None: 0.07 where nothing tells.

        Raises:
            MammogramReadError: the image cannot serve as a mammogram.
        """
        item = self.analyse(image, spacing_mm)
        instances, mask = plane(item["instances"]).astype(np.int32), item["analysis"].mask.astype(np.uint8)
        report, meta = item["report"], item["image"].meta
        if is_dicom_input(item):
            report = with_tracking_uids(report, str(meta["filename_or_obj"]))
        return Findings(item["findings"], mask, instances, plane(item["map"]).astype(np.float32), report)

    def analyse(self, image: Any, spacing_mm: float | Sequence[float] | None = None) -> dict[str, Any]:
        """As `__call__`, but what the writers of scripts/outputs take: image, pred, instances, findings, report, ..."""
        with _Causes(), torch.no_grad():
            item = self.preprocessing({"image": self._read(image, spacing_mm)})
            inputs, breast = item["image"][None].to(self.device), item["breast"][None].to(self.device)
            logits = self.inferer(inputs, self.network, breast=breast)
            done: dict[str, Any] = self.postprocessing({**item, "pred": logits[0]})
        return done

    def _read(self, image: Any, spacing_mm: float | Sequence[float] | None) -> MetaTensor:
        given = None if spacing_mm is None else np.asarray(spacing_mm, float)
        check("spacing_mm", spacing_mm, given is None or given.shape in ((), (2,)), "one number, or (row, col), in mm")
        pair = None if given is None else np.broadcast_to(given, 2)
        if not isinstance(image, str | Path):
            spacings = None if pair is None else (float(pair[0]), float(pair[1]))
            array, meta = mammogram_of_array(image, spacings, self.reading)
            return MetaTensor(torch.from_numpy(array)[None], meta=meta)
        reading = self.reading
        if pair is not None:
            check("spacing_mm", spacing_mm, pair[0] == pair[1], "one number for a file")
            reading = replace(reading, default_spacing_mm=float(pair[0]))
        return LoadMammogramd(reading=reading)({"image": image})["image"]


def segment(image: Any, *, spacing_mm: float | Sequence[float] | None = None, **choice: Any) -> Findings:
    """Find the MCs of one mammogram, a file or an array: `Segmenter(**choice)(image, spacing_mm)`.

    `choice` are fields of `Choice`: method, preset, score_threshold, weights, device, settings.
    """
    return Segmenter(**choice)(image, spacing_mm)


def configured(files: Sequence[str | Path], values: Mapping[str, Any]) -> ConfigParser:
    """The merged config files with keys set to values."""
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    set_values(parser, values)
    return parser


def prepared(files: Sequence[str | Path], values: Mapping[str, Any]) -> ConfigWorkflow:
    """Config files, as `monai.bundle run` prepares them, with keys set to values: checked, ready to be run."""
    workflow = ConfigWorkflow(config_file=[str(file) for file in files], workflow_type="infer")
    set_values(workflow.parser, values)
    workflow.initialize()
    return workflow


def set_values(parser: ConfigParser, values: Mapping[str, Any]) -> None:
    """Set keys, nested ones with "::"; one whose parent does not exist is a ValueError."""
    for key, value in values.items():
        try:
            parser[key] = value
        except (KeyError, ValueError, TypeError, IndexError) as error:
            top, separator, rest = key.partition("::")
            near = nearest(top, {name: name + separator + rest for name in parser.get() if name != top})
            raise ValueError(f"{key}: got a key that is not there; {near}") from error


def defined_keys(files: Sequence[str | Path]) -> set[str]:
    """Top-level keys that config files set."""
    return {key.lstrip("+").partition("::")[0] for file in files for key in ConfigParser.load_config_file(file)}


def check_preset(choice: Choice, parser: ConfigParser) -> None:
    """ValueError for a preset of a method whose threshold comes from none."""
    threshold = parser.get("score_threshold")
    has_presets = isinstance(threshold, str)
    want = f"none: the threshold of {choice.method} is {threshold}"
    check("preset", choice.preset, has_presets or not choice.preset, want)


def as_literal(name: str, value: Any) -> Any:
    """A number, truth, text, list of them, path or device that MONAI's parser leaves as it is; else a ValueError.

    Paths are `Path` objects, which the parser never looks into.
    """
    if isinstance(value, list | tuple):
        return [as_literal(name, part) for part in value]
    kinds = str | bool | int | float | Path | torch.device | None
    check(name, value, isinstance(value, kinds), "a number, a text, true, false or a list of them")
    check(name, value, not (isinstance(value, str) and _is_altered(value)), "a plain text (no leading $, @, %, no #)")
    return value


def _is_altered(text: str) -> bool:
    return text.startswith(EVALUATED) or any(part in text for part in CHANGED)


class _Causes:
    """In this block, what MONAI wraps in RuntimeErrors is raised as it was."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None and (cause := root_cause(error)) is not error:
            raise cause
