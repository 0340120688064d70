"""`__init__.py` of the package that pip installs: its folder is the bundle, with configs, models and code.

The bundle's code is called `scripts`, as MONAI demands; this makes it importable, and gives users one name of its own.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

BUNDLE = Path(__file__).resolve().parent
#: Names of scripts/api.py that are had from here; loaded at first use, so that the command's --help answers at once.
OFFERED = ("Choice", "Findings", "Microcalcification", "Segmenter", "segment")


def load(module: str) -> ModuleType:
    """A module of this bundle's `scripts`; ImportError where another package of this name is loaded already."""
    if str(BUNDLE) not in sys.path:
        sys.path.insert(0, str(BUNDLE))
    found = Path(str(importlib.import_module("scripts").__file__)).resolve().parent
    if found != BUNDLE / "scripts":
        raise ImportError(f"scripts: got {found}, loaded before; want {BUNDLE / 'scripts'}: import this package first")
    return importlib.import_module(module)


def __getattr__(name: str) -> Any:
    if name in OFFERED:
        return getattr(load("scripts.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *OFFERED])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `mammo-mc`; gives its exit status."""
    status: int = load("scripts.command").main(arguments)
    return status


def program() -> None:
    """The command as a program, which ends the process."""
    load("scripts.command").program()
