"""For methods without a network, so that they run in the same chain."""

from typing import Any

import torch
from monai.inferers import Inferer


class NoNetworkInferer(Inferer):
    """Gives the images back; the network is not called."""

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The inputs."""
        return inputs
