"""Tells the wheel's builder (hatchling, pyproject.toml) that the package needs what requirements.txt pins."""

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Dependencies, from the one list of them."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the lines of requirements.txt that are no comments."""
        lines = (Path(self.root) / "requirements.txt").read_text(encoding="utf-8").splitlines()
        metadata["dependencies"] = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
