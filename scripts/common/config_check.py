"""A mistyped key or option is an error, not a setting without effect.

MONAI's bundle runner takes any `--name value` and any key of a config, whether something reads it or not. The root
configs call `check_running_config` first in `initialize`.
"""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundlePropertyConfig

#: Keys that are for people, for MONAI, or for MONAI Label.
ALWAYS_READ = ("_desc_", "_meta_", "imports", "displayable_configs", "initialize", "run", "finalize")
_REFERENCE = re.compile(r"[@%](\w+)")


class ConfigError(ValueError):
    """A key that nothing reads, or an argument that its object does not take."""


def check_running_config() -> None:
    """Check the config of the workflow that is being initialised; without one (MONAI Label) nothing happens.

    A ConfigError of `check_config` becomes, from the command line, one line and exit status 2.
    """
    frames = [info.frame for info in inspect.stack(context=0)]
    workflows = (frame.f_locals.get("self") for frame in frames)
    workflow = next((found for found in workflows if isinstance(found, ConfigWorkflow)), None)
    if workflow is None:
        return
    options = {argument[2:].partition("=")[0] for argument in sys.argv if argument.startswith("--")}
    files = Path(workflow.config_root_path).glob("*.json")
    defined = {key for file in files for key in ConfigParser.load_config_file(file)}
    try:
        check_config(workflow.parser, (workflow.init_id, workflow.run_id, workflow.final_id), defined - options)
    except ConfigError as error:
        programs = [frame.f_code.co_filename for frame in frames if frame.f_globals.get("__name__") == "__main__"]
        if not any(Path(file).as_posix().endswith("monai/bundle/__main__.py") for file in programs):
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def check_config(parser: ConfigParser, run_ids: Sequence[str] = (), spared: Collection[str] = ()) -> None:
    """Check that every top-level key is read and every object takes the arguments that are given for it.

    Otherwise a ConfigError names the key and the nearest valid one. The parser's files are merged, its options applied;
    `run_ids` are what is run, `spared` keys that may go unread: those of config files whose reader an overlay or an
    option has replaced.
    """
    config = parser.get()
    read, arguments = _read_keys(config, run_ids), list(_arguments(config))
    known = {path.rpartition("::")[2]: path for path, _ in arguments} | {name: name for name in sorted(read)}
    for key in config:
        if key not in read and key not in spared:
            raise ConfigError(f"{key}: got a key or option that nothing reads here; {_nearest(key, known)}")
    for path, taken in arguments:
        place, separator, name = path.rpartition("::")
        if taken is not None and name not in taken:
            nearest = _nearest(name, {other: place + separator + other for other in taken})
            raise ConfigError(f"{path}: got an argument that its object does not take; {nearest}")


def _read_keys(config: Mapping[str, Any], run_ids: Sequence[str]) -> set[str]:
    """Top-level keys that are reached by references from what is run, or that MONAI's tools ask for."""
    properties = (*InferProperties.values(), *TrainProperties.values())
    asked = {str(entry[BundlePropertyConfig.ID]).partition("::")[0] for entry in properties}
    runs = {key for key, value in config.items() if _is_run(value)}
    waiting = [key for key in (*ALWAYS_READ, *asked, *run_ids, *runs) if key in config]
    read: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in read and key in config:
            read.add(key)
            waiting += _REFERENCE.findall(str(config[key]))
    return read


def _is_run(value: Any) -> bool:
    """Whether a key is an id to be run: an alias of one, or a list of expressions and calls."""
    if isinstance(value, str):
        return value.startswith("%")
    return isinstance(value, list) and any(isinstance(part, str) and part.startswith("$") for part in value)


def _arguments(node: Any, path: str = "") -> Iterator[tuple[str, set[str] | None]]:
    """Every argument of every object: its path, and the names that the object takes (None: any, or not known)."""
    parts = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    taken = _parameters(node.get("_target_")) if isinstance(node, Mapping) else None
    for key, value in parts:
        below = f"{path}::{key}" if path else str(key)
        if isinstance(node, Mapping) and "_target_" in node and not str(key).startswith("_"):
            yield below, taken
        yield from _arguments(value, below)


def _parameters(target: Any) -> set[str] | None:
    """Names of the arguments that a `_target_` takes; None when it takes any, or is none of this bundle's."""
    if not isinstance(target, str) or not target.startswith("scripts."):
        return None
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_: got {target!r}; want a class or function of this bundle ({error})") from error
    parameters = inspect.signature(found).parameters.values()
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else {p.name for p in parameters}


def _nearest(name: str, known: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"want {known[near[0]]}?" if near else "want one of the keys of the config files"
