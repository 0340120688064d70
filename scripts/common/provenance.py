"""Where a result comes from: versions, commit, weights; and how much memory it took."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.common.files import sha256_of

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

PACKAGES = ("monai", "torch", "numpy", "pydicom", "scikit-image", "opencv-python-headless", "openvino")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    versions = {"bundle": bundle_version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed under this name"
    return versions


def bundle_version() -> str:
    """Version of this bundle, as metadata.json tells it."""
    file = Path(__file__).resolve().parents[2] / "metadata.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["version"]) if file.is_file() else "unknown"


def source_commit() -> str | None:
    """Commit of the code, with "+ changes" if files that git knows were changed; None outside of a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    options: dict[str, Any] = {"cwd": root, "text": True, "timeout": 20, "stderr": subprocess.DEVNULL}
    try:
        commit = subprocess.check_output(["git", "rev-parse", "HEAD"], **options)
        changes = subprocess.check_output(["git", "status", "--porcelain", "--untracked-files=no"], **options)
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + (" + changes" if changes.strip() else "")


def peak_memory_mb() -> int | None:
    """Peak resident memory of this process in MB (10^6 bytes); None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux; getrusage would count what the parent had before this process began
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if peaks:
            return round(int(peaks[0]) * 1024 / 1e6)
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


def describe_weights(path: str | Path | None) -> dict[str, str] | None:
    """Name and SHA-256 of a weight file; None when there is none."""
    if path is None or not Path(path).is_file():
        return None
    return {"file": str(path), "sha256": sha256_of(path)}
