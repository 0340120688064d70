"""Modules that MONAI and ignite import for a name or two that most runs never use: imported when they are used.

They make a third of the time in which `mammo-mc` would start (docs/log/performance.md).
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

#: Module, and who asks for it.
SLOW = (
    "matplotlib",
    "matplotlib.pyplot",  # monai.utils.jupyter_utils
    "scipy.signal",  # monai.data.ultrasound_confidence_map
    "sklearn",  # monai.metrics.embedding_collapse, and its parts:
    "sklearn.linear_model",
    "sklearn.metrics",
    "torch.distributed.optim",  # ignite.handlers.checkpoint
    "torch.utils.tensorboard",  # monai.visualize, monai.handlers
)


class _Module(ModuleType):
    """In the place of a module: any name of it stands for what the module will have under it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


class _Name:
    """A function or class that is imported when it is called or looked into."""

    def __init__(self, module: str, name: str) -> None:
        self._later = module, name

    def _real(self) -> Any:
        module, name = self._later
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __instancecheck__(self, thing: object) -> bool:
        """Of a class that was never imported there is no instance."""
        return self._later[0] in sys.modules and isinstance(thing, self._real())


@contextmanager
def imported_later() -> Iterator[None]:
    """What is imported in this block gets those of the `SLOW` modules that are not there yet when it uses them."""
    stand_ins = {name: _Module(name) for name in SLOW if name not in sys.modules}
    for name, module in stand_ins.items():
        if (parent := stand_ins.get(name.rpartition(".")[0])) is not None:
            setattr(parent, name.rpartition(".")[2], module)  # as an import does
        module.__file__ = f"<{name}, imported when it is used>"
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


@contextmanager
def without_collecting() -> Iterator[None]:
    """Python does not look for garbage in this block, of imports or configs: they leave hundreds of thousands of things
    and hardly any garbage. Nor does it look into them later."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
