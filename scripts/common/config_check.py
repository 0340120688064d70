"""A mistyped key or option, or a config file in the wrong place, is an error, not a setting without effect.

MONAI's bundle runner takes any `--name value` and any key of a config, whether something reads it or not. The root
configs call `check_running_config` first in `initialize`.
"""

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundlePropertyConfig, ensure_tuple

from scripts.common.errors import end_with_one_line, one_line

#: Keys that are for people, for MONAI, or for MONAI Label.
ALWAYS_READ: tuple[str, ...] = ("_desc_", "_meta_", "imports", "displayable_configs", "initialize", "run", "finalize")
ALWAYS_READ += ("run_name", "save_execute_config")  # of its federated learning and tracking
_REFERENCE = re.compile(r"[@%](\w+)")


class ConfigError(ValueError):
    """A key that nothing reads, an argument that its object does not take, files in the wrong order, no such device."""


def check_running_config() -> None:
    """Check the config of the workflow that is being initialised; without one (MONAI Label) nothing happens.

    From the command line, an error is from here on one line and exit status 2 (scripts/common/errors.py).
    """
    frames = [info.frame for info in inspect.stack(context=0)]
    workflows = (frame.f_locals.get("self") for frame in frames)
    workflow = next((found for found in workflows if isinstance(found, ConfigWorkflow)), None)
    if workflow is None:
        return
    programs = [frame.f_code.co_filename for frame in frames if frame.f_globals.get("__name__") == "__main__"]
    if any(Path(file).as_posix().endswith("monai/bundle/__main__.py") for file in programs):
        end_with_one_line()
    calls = (frame.f_locals for frame in frames if frame.f_globals.get("__name__") == "monai.bundle.scripts")
    files = next((ensure_tuple(names["config_file"]) for names in calls if names.get("config_file")), ())
    check_files(files)
    options = {argument[2:].partition("=")[0] for argument in sys.argv if argument.startswith("--")}
    roots = files[:1] or Path(workflow.config_root_path).glob("*.json")
    spared = {key for file in roots for key in ConfigParser.load_config_file(file)} - options
    origins = {key.lstrip("+"): str(file) for file in files[1:] for key in ConfigParser.load_config_file(file)}
    check_config(workflow.parser, (workflow.init_id, workflow.run_id, workflow.final_id), spared, origins)
    check_options(workflow.parser, files, options)
    if "device" in workflow.parser:
        check_device(workflow.parser.get_parsed_content("device"))


def check_files(files: Sequence[str | Path]) -> None:
    """Check that config files stand in an order in which all that they say counts; a ConfigError names the wrong one.

    The one that runs alone (it has `initialize`) is first, and no file replaces a key whose parts an earlier one set.
    """
    contents = [ConfigParser.load_config_file(file) for file in files]
    roots = [str(file) for file, content in zip(files, contents, strict=True) if "initialize" in content]
    if len(roots) > 1:
        raise ConfigError(f"config_file: got {' and '.join(roots)}; want only one of them, and overlays after it")
    if roots and roots[0] != str(files[0]):
        raise ConfigError(f"config_file: got {roots[0]} after {files[0]}; want {roots[0]} first, overlays after it")
    for place, content in enumerate(contents):
        parts = {key.lstrip("+").partition("::")[0] for key in content if "::" in key or key.startswith("+")}
        for later in range(place + 1, len(files)):
            if lost := sorted(parts & contents[later].keys()):
                got = f"{files[later]}, which replaces {lost[0]}, after {files[place]}, which sets parts of it"
                raise ConfigError(f"config_file: got {got}; want the other order")


def check_options(parser: ConfigParser, files: Sequence[str | Path], options: Iterable[str]) -> None:
    """Check that an option is a number, or true or false, where the config files have one; else a ConfigError."""
    given = ConfigParser()
    given.read_config([str(file) for file in files])
    for name in sorted(options):
        default, value = given.get(name), parser.get(name)
        if isinstance(value, str) and value[:1] in ("$", "@", "%"):
            continue
        if isinstance(default, bool) and value not in (True, False):
            raise ConfigError(f"{name}: got {value!r}; want true or false")
        if isinstance(default, int | float) and not isinstance(value, int | float):
            raise ConfigError(f"{name}: got {value!r}; want a number")


def check_device(device: Any) -> None:
    """Check that this machine has a device, given as for `torch.device`; else a ConfigError."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # whatever the back end raises
        here = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        reason = one_line(error, 150)
        raise ConfigError(f"device: got {str(device)!r}; want one that is here: {here} ({reason})") from error


def check_config(
    parser: ConfigParser,
    run_ids: Sequence[str] = (),
    spared: Collection[str] = (),
    origins: Mapping[str, str] | None = None,
) -> None:
    """Check that every top-level key is read and every object takes the arguments that are given for it.

    Otherwise a ConfigError names the key and the nearest valid one. The parser's files are merged, its options applied;
    `run_ids` are what is run, `spared` keys that may go unread: those of the first config file, as an overlay or an
    option may replace their reader. `origins` are the overlays that keys come from.
    """
    config = parser.get()
    read, arguments = _read_keys(config, run_ids), list(_arguments(config))
    known = {path.rpartition("::")[2]: path for path, _ in arguments} | {name: name for name in sorted(read)}
    for key in config:
        if key not in read and key not in spared:
            if origins and key in origins:
                wanted = "only overlays that belong to the first file, in the order that they say"
                raise ConfigError(f"config_file: got {origins[key]}, whose key {key} nothing reads here; want {wanted}")
            raise ConfigError(f"{key}: got a key or option that nothing reads here; {nearest(key, known)}")
    for path, taken in arguments:
        place, separator, name = path.rpartition("::")
        if taken is not None and name not in taken:
            near = nearest(name, {other: place + separator + other for other in taken})
            raise ConfigError(f"{path}: got an argument that its object does not take; {near}")


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


def nearest(name: str, known: Mapping[str, str]) -> str:
    """What an error wants in place of a name: what the most similar of the known ones stands for."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"want {known[near[0]]}?" if near else "want one of the keys of the config files"
