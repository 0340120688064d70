"""Operating points by name: `models/operating_points.json`, written by `run choosing`, read by the inference config.

{"<method>": {"presets": {"sensitive": {"threshold": .., "tpr": .., "fp_per_cm2": ..}, "balanced": ..,
 "specific": ..}, "provenance": {..}}, ...}
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.common.files import sha256_of, write_json

logger = logging.getLogger(__name__)


def preset_threshold(
    path: str | Path,
    method: str,
    preset: str = "balanced",
    optional: bool = False,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> float | None:
    """Score threshold of a method's preset.

    A threshold means something for the weights and settings that it was chosen with only: with others, a warning is
    logged.

    Args:
        path: operating points file.
        method: name of the method, as in the config's key `method`.
        preset: "sensitive", "balanced" or "specific".
        optional: None instead of an error when the file does not know the method, or knows it with other weights or
            settings.
        weights: file of the weights in use; compared with the SHA-256 that the points were chosen with.
        settings: those in use that change what a score means; compared with those of the same name that the points
            were chosen with.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or does not hold the method or the preset.
    """
    file = Path(path)
    if not file.is_file():
        if optional:
            return None
        raise FileNotFoundError(f"operating_points: {file} does not exist; give --score_threshold, or run choosing")
    methods = _read(file)
    if method not in methods:
        if optional:
            return None
        known = ", ".join(methods) or "none"
        raise ValueError(f"operating_points: {file} holds no points of {method!r} (but of {known}); run choosing")
    presets = methods[method].get("presets", {})
    if preset not in presets:
        raise ValueError(f"preset: got {preset!r}, want one of {', '.join(presets)} (of {method} in {file})")
    if problem := _difference(methods[method], weights, settings or {}):
        problem = f"the points of {method} in {file} were chosen with {problem}"
        if optional:
            logger.info("operating_points: %s; they are not used", problem)
            return None
        logger.warning("operating_points: %s; run choosing with yours, or give --score_threshold", problem)
    return float(presets[preset]["threshold"])


def operating_threshold(
    objects: Any,
    path: str | Path,
    method: str,
    weights: str | Path | None = None,
    preset: str = "balanced",
    settings: Mapping[str, Any] | None = None,
) -> float | None:
    """Score threshold at which a method is evaluated.

    Args:
        objects: how the method forms objects. One whose own output is a mask has an `own_threshold`: that is it.
        path, method, weights, preset, settings: see `preset_threshold`.

    Returns:
        None where the file holds no points for these weights and settings: the evaluation then chooses on its images.
    """
    own = getattr(objects, "own_threshold", None)
    if own is not None:
        return float(own)
    return preset_threshold(path, method, preset, optional=True, weights=weights, settings=settings)


def chosen_setting(path: str | Path, method: str, name: str) -> Any:
    """A setting with which a method's operating points were chosen, such as its overlap fraction (o_thr).

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, or does not hold the method or the setting.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"operating_points: {file} does not exist; give --{name}, or run choosing")
    settings = _read(file).get(method, {}).get("provenance", {}).get("settings", {})
    if name not in settings:
        raise ValueError(f"operating_points: {file} holds no {name} of {method!r}; give --{name}, or run choosing")
    return settings[name]


def _difference(entry: Mapping[str, Any], weights: str | Path | None, settings: Mapping[str, Any]) -> str:
    """What is known of both and differs, in words; "" when nothing does."""
    provenance = entry.get("provenance", {})
    recorded = (provenance.get("weights") or {}).get("sha256")
    if recorded and weights and Path(weights).is_file() and sha256_of(weights) != recorded:
        return f"other weights than {weights}"
    chosen = provenance.get("settings", {})
    return ", ".join(
        f"{name} {chosen[name]} (here: {value})"
        for name, value in settings.items()
        if name in chosen and chosen[name] != value
    )


def publish_presets(path: str | Path, method: str, content: Mapping[str, Any]) -> Path:
    """Put a method's operating points into the file, leaving those of other methods; written atomically."""
    file = Path(path)
    methods = _read(file) if file.is_file() else {}
    methods[method] = dict(content)
    return write_json(file, dict(sorted(methods.items())))


def _read(file: Path) -> dict[str, Any]:
    try:
        methods = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"operating_points: {file} is no JSON ({error})") from error
    if not isinstance(methods, dict) or not all(isinstance(entry, dict) for entry in methods.values()):
        raise ValueError(f"operating_points: {file} holds no table of methods; run choosing to write one")
    return methods
