"""The settings of configured objects as plain values.

A config builds parameter objects, transforms, inferers, networks and data sets once; the run report, the check of a
preset and the fingerprint of a training all call `describe` on those same objects. So whatever changes a result is in
all three, and nobody keeps a list of settings by hand.
"""

import functools
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np
import torch

#: Settings without effect on results, wherever they stand.
WITHOUT_EFFECT = frozenset({"progress", "workers", "num_workers", "cache_dir"})
WITHOUT_EFFECT |= {"isolated", "time_limit_s", "memory_limit_mb"}  # of `Reading`
#: State of MONAI's transforms and of PyTorch's optimizers and schedulers that is no setting.
STATE = frozenset({"R", "last_epoch", "state", "param_groups", "base_lrs"})
Class = TypeVar("Class", bound=type)


def describe(thing: Any) -> Any:
    """Settings of an object as JSON types: numbers, texts, lists and dictionaries.

    An object is {"class": its name, setting: value, ...}, settings being the fields of a dataclass, the arguments of a
    network (see `recorded`), the defaults of an optimizer, else the public attributes; or what the object's property
    `settings` says. A chain of transforms is {name of the class: its settings, ...}, so that two chains compare part by
    part. Functions are named, arrays told by a hash.
    """
    if thing is None or isinstance(thing, str | bool | int | float):
        return thing
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, PurePath | torch.dtype | torch.device):
        return str(thing)
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items() if str(key) not in WITHOUT_EFFECT}
    if isinstance(thing, set | frozenset):
        return sorted(map(describe, thing), key=str)
    if isinstance(thing, list | tuple):
        return [describe(part) for part in thing]
    if isinstance(thing, np.ndarray | torch.Tensor):
        return _digest(np.asarray(thing).tobytes())
    if inspect.isroutine(thing) or inspect.isclass(thing) or isinstance(thing, functools.partial):
        return getattr(thing, "__qualname__", repr(type(thing).__name__))
    return {"class": type(thing).__name__} | _settings_of(thing)


def recorded(cls: Class) -> Class:
    """Class decorator of networks: keep the arguments that one was made with, as its `arguments`, for `describe`."""
    make = vars(cls)["__init__"]
    signature = inspect.signature(make)

    @functools.wraps(make)
    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        make(self, *args, **kwargs)
        if "arguments" not in self.__dict__:
            self.arguments = {name: value for name, value in bound.arguments.items() if name != "self"}

    cls.__init__ = initialise  # type: ignore[misc]
    return cls


def differences(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Settings that two descriptions both hold and that differ: (path, value in `first`, value in `second`).

    E.g. ("objects.share", 0.3, 0.4).
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in (key for key in first if key in second):
            yield from differences(first[key], second[key], f"{path}.{key}" if path else str(key))
    elif first != second:
        yield path, first, second


def _settings_of(thing: Any) -> dict[str, Any]:
    own = getattr(thing, "settings", None)
    if own is not None and not callable(own):
        return {str(key): describe(value) for key, value in own.items()}
    if is_dataclass(thing):
        names = (field.name for field in fields(thing) if field.name not in WITHOUT_EFFECT)
        return {name: describe(getattr(thing, name)) for name in names}
    if isinstance(thing, torch.nn.Module):
        return _network_settings(thing)
    if isinstance(thing, torch.optim.Optimizer):
        return {"defaults": describe(thing.defaults)}
    chain = getattr(thing, "transforms", None)
    if isinstance(chain, list | tuple) and chain:
        return _chain(chain)
    public = {key: value for key, value in vars(thing).items() if key[0] != "_" and key not in STATE | WITHOUT_EFFECT}
    optimizers = {key for key, value in public.items() if isinstance(value, torch.optim.Optimizer)}
    return {key: describe(public[key]) for key in sorted(public.keys() - optimizers)}


def _chain(transforms: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for description in map(describe, transforms):
        name = description.pop("class") if isinstance(description, dict) else str(description)
        number = sum(key.partition(" ")[0] == name for key in found)
        found[f"{name} {number + 1}" if number else name] = description
    return found


def _network_settings(network: torch.nn.Module) -> dict[str, Any]:
    if "arguments" in vars(network):
        return {name: describe(value) for name, value in vars(network)["arguments"].items()}
    public = {key: value for key, value in vars(network).items() if key[0] != "_" and key != "training"}
    scalars = {key: value for key, value in public.items() if isinstance(value, str | int | float)}
    shapes = "\n".join(f"{key} {list(value.shape)}" for key, value in network.state_dict().items())
    return scalars | ({"shapes": _digest(shapes.encode())} if shapes else {})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
