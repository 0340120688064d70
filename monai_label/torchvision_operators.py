"""Lets torchvision, which MONAI Label asks for, be imported beside a build of torch that it was not compiled for.

PyPI's torchvision is built for CUDA; beside torch's CPU build its operators do not load, and its import fails at the
first one that it describes. Then, and only then, `nms` and `qnms` are declared (no code of ours or MONAI Label's calls
them). A `.pth` file of the environment imports this module in every Python, as MONAI Label trains in a subprocess;
torch itself is imported by torchvision only.
"""

import sys
from importlib.abc import MetaPathFinder

DECLARED = []  # keeps the declarations alive


class DeclareMissingOperators(MetaPathFinder):
    """Steps in when torchvision, its own operators tried, comes to describe them; finds no module itself."""

    def find_spec(self, name, path=None, target=None):
        """Declare what is missing, once; always None."""
        if name == "torchvision._meta_registrations" and not sys.modules["torchvision.extension"]._has_ops():
            import torch

            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            DECLARED.append(library)
        return None


sys.meta_path.insert(0, DeclareMissingOperators())
