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

from scripts.files import sha256_of, write_json

logger = logging.getLogger(__name__)


def preset_threshold(
    path: str | Path, method: str, preset: str = "balanced", optional: bool = False, weights: str | Path | None = None
) -> float | None:
    """Score threshold of a method's preset.

    A threshold means something for the weights that it was chosen with only: with others, a warning is logged.

    Args:
        path: operating points file.
        method: name of the method, as in the config's key `method`.
        preset: "sensitive", "balanced" or "specific".
        optional: None instead of an error when the file does not know the method, or knows it with other weights.
        weights: file of the weights in use; compared with the SHA-256 that the points were chosen with.

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
    if _other_weights(methods[method], weights):
        problem = f"the points of {method} in {file} were chosen with other weights than {weights}"
        if optional:
            logger.info("operating_points: %s; they are not used", problem)
            return None
        logger.warning("operating_points: %s; run choosing with yours, or give --score_threshold", problem)
    return float(presets[preset]["threshold"])


def _other_weights(entry: Mapping[str, Any], weights: str | Path | None) -> bool:
    """Whether both digests are known and differ."""
    recorded = (entry.get("provenance", {}).get("weights") or {}).get("sha256")
    return bool(recorded and weights and Path(weights).is_file() and sha256_of(weights) != recorded)


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
