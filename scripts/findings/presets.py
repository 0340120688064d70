"""Operating points by name: `models/operating_points.json`, written by `run choosing`, read by the inference config.

{"<method>": {"presets": {"sensitive": {"threshold": .., "tpr": .., "fp_per_cm2": ..}, "balanced": ..,
 "specific": ..}, "provenance": {..}}, ...}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.files import write_json


def preset_threshold(path: str | Path, method: str, preset: str = "balanced", optional: bool = False) -> float | None:
    """Score threshold of a method's preset.

    Args:
        path: operating points file.
        method: name of the method, as in the config's key `method`.
        preset: "sensitive", "balanced" or "specific".
        optional: None instead of an error when the file does not know the method.

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
    return float(presets[preset]["threshold"])


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
