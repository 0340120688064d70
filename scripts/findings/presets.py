"""Operating points by name: `models/operating_points.json`, written by `run choosing`, read by the inference config.

{"<method>": {"presets": {"sensitive": {"threshold": .., "tpr": .., "fp_per_cm2": ..}, "balanced": ..,
 "specific": ..}, "calibration": {"curve": {"scores": [..], "probabilities": [..]}, ..},
 "provenance": {"scoring": {..}, "weights": {..}, ..}}, ...}
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.common.checks import check_fields, check_number
from scripts.common.errors import one_line
from scripts.common.files import sha256_of, write_json
from scripts.common.settings import describe, differences
from scripts.findings.calibration import Calibration
from scripts.findings.forming import Objects

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OperatingPoints:
    """The operating points of a method, and the preset that is wanted of them.

    A threshold means something for the weights and settings that it was chosen with only: with others, a warning is
    logged. No file at `path` is a FileNotFoundError; a damaged one, or one without the method or preset, a ValueError.
    """

    path: str | Path
    method: str  # as in the config's key `method`
    preset: str = "balanced"  # or "sensitive", "specific"
    weights: str | Path | None = None  # file in use; compared with the SHA-256 that the points were chosen with
    settings: Mapping[str, Any] | None = None  # objects in use that decide what a score means (`scoring`); compared too

    def __post_init__(self) -> None:
        check_fields(self)

    def threshold(self, optional: bool = False) -> float | None:
        """Score threshold of the preset.

        With `optional`, None instead of an error where the file is not there or does not know the method, and instead
        of a warning where it knows it with other weights or settings.
        """
        file = Path(self.path)
        methods = _read(file) if file.is_file() else {}
        if self.method not in methods:
            if optional:
                return None
            if not file.is_file():
                remedy = "give --score_threshold, or run choosing"
                raise FileNotFoundError(f"operating_points: {file} does not exist; {remedy}")
            known = ", ".join(methods) or "none"
            got = f"no points of {self.method!r} (but of {known})"
            raise ValueError(f"operating_points: {file} holds {got}; run choosing")
        presets = methods[self.method].get("presets", {})
        if self.preset not in presets:
            wanted = f"one of {', '.join(presets)} (of {self.method} in {file})"
            raise ValueError(f"preset: got {self.preset!r}; want {wanted}")
        if problem := _difference(methods[self.method], self.weights, describe(self.settings or {})):
            problem = f"the points of {self.method} in {file} were chosen with {problem}"
            if optional:
                logger.info("operating_points: %s; they are not used", problem)
                return None
            logger.warning("operating_points: %s; run choosing with yours, or give --score_threshold", problem)
        return float(presets[self.preset]["threshold"])

    def thresholds(self) -> dict[str, dict[str, float]]:
        """Every preset of the method, {name: {"threshold"}}; none where they hold for other weights or settings.

        A report tells them, so that a workstation can move along them (PS3.16 TID 4023).
        """
        file = Path(self.path)
        entry = _read(file).get(self.method, {}) if file.is_file() else {}
        if _difference(entry, self.weights, describe(self.settings or {})):
            return {}
        return {name: {"threshold": float(point["threshold"])} for name, point in entry.get("presets", {}).items()}

    def calibration(self) -> Calibration | None:
        """The curve from score to probability that was chosen with the presets; None where the file holds none."""
        methods = _read(Path(self.path)) if Path(self.path).is_file() else {}
        found = methods.get(self.method, {}).get("calibration")
        return None if found is None else Calibration.of(found["curve"])

    def preset_of(self, score_threshold: float) -> str | None:
        """The preset, if it is what the threshold comes from; None where a threshold was given instead."""
        file = Path(self.path)
        presets = _read(file).get(self.method, {}).get("presets", {}) if file.is_file() else {}
        named = presets.get(self.preset)
        return self.preset if named is not None and named["threshold"] == score_threshold else None

    def threshold_of(self, objects: Objects) -> float | None:
        """Score threshold at which a method is evaluated: that of its own mask, else of the preset.

        None where the method has no preset that holds: the evaluation then chooses a threshold on its images.
        """
        own = objects.own_threshold
        return own if own is not None else self.threshold(optional=True)


def _difference(entry: Mapping[str, Any], weights: str | Path | None, settings: Mapping[str, Any]) -> str:
    """What is known of both and differs, in words; "" when nothing does."""
    provenance = entry.get("provenance", {})
    recorded = (provenance.get("weights") or {}).get("sha256")
    if recorded and weights and Path(weights).is_file() and sha256_of(weights) != recorded:
        return f"other weights than {weights}"
    chosen = provenance.get("scoring")
    if chosen is None:  # written by version 0.3.0
        chosen, settings = provenance.get("settings", {}), _settings_of_0_3_0(settings)
    found = differences(chosen, settings)
    return ", ".join(f"{path} {there} (here: {here})" for path, there, here in found)


def _settings_of_0_3_0(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What version 0.3.0 compared, by its names."""
    objects, grid = settings.get("objects", {}), settings.get("inferer", {}).get("grid", {})
    sources = {"PeakObjects": "map", "ComponentObjects": "threshold", "CandidateObjects": "candidates"}
    known = {
        "objects_from": sources.get(str(objects.get("class"))),
        "map_share": objects.get("share"),
        "map_prominence": objects.get("prominence"),
        "overlap_fraction": objects.get("overlap_fraction"),
        "dog_threshold": objects.get("hdog", {}).get("dog_threshold"),
        "working_spacing_mm": grid.get("spacing_mm"),
    }
    return {name: value for name, value in known.items() if value is not None}


def publish_presets(path: str | Path, method: str, content: Mapping[str, Any]) -> Path:
    """Put a method's operating points into the file, leaving those of other methods; written atomically."""
    methods = _read(Path(path)) if Path(path).is_file() else {}
    return write_json(path, dict(sorted((methods | {method: dict(content)}).items())))


def _read(file: Path) -> dict[str, Any]:
    """The checked table of methods; whatever else the file holds is a ValueError that says so."""
    remedy = "take the file of the bundle again, or run choosing to write one"
    try:
        methods = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"operating_points: {file} is no JSON ({one_line(error, 100)}); {remedy}") from error
    try:
        _check_table("methods", methods)
        for method, entry in methods.items():
            _check_table(method, entry)
            presets, provenance = entry.get("presets", {}), entry.get("provenance", {})
            _check_table(f"{method}::presets", presets)
            for name, point in presets.items():
                _check_table(f"{method}::presets::{name}", point)
                check_number(f"{method}::presets::{name}::threshold", point.get("threshold"), "[0, 1]")
            _check_table(f"{method}::provenance", provenance)
            if (calibration := entry.get("calibration")) is not None:
                _check_table(f"{method}::calibration", calibration)
                curve = calibration.get("curve")
                _check_table(f"{method}::calibration::curve", curve)
                if set(curve) != {"scores", "probabilities"}:
                    raise ValueError(f"{method}::calibration::curve: got {sorted(curve)}; want scores, probabilities")
                Calibration.of(curve)
            _check_table(f"{method}::provenance::weights", provenance.get("weights") or {})
    except ValueError as error:
        raise ValueError(f"operating_points: {file} holds {one_line(error, 300)}; {remedy}") from error
    return methods


def _check_table(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{name}: got a {type(value).__name__}; want a table of names and values")
