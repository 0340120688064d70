"""Baseline: the context-sensitive CNN that classifies candidates as MC or not (Wang & Yang 2018).

One branch sees the 9x9 px around a candidate, the other its 95x95 px of context. Widths are published; see
docs/baselines.md for what is not: kernels of 3x3 px, where the pools lie, what follows the first dense layer.
"""

import torch
from torch import nn

from scripts.common.checks import check
from scripts.common.settings import recorded
from scripts.networks.checkpoint import refuse_other_weights


def _conv(in_channels: int, out_channels: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


def _pool() -> nn.Module:
    return nn.MaxPool2d(kernel_size=3, stride=2)


@recorded
class ContextCNN(nn.Module):
    """Context-sensitive CNN: 64 local features on 4x4, 128 global ones on 5x5, 4224 together -> 128 -> 2.

    1,437,442 parameters. Unpadded 3x3 poolings of stride 2 take 9 px to 4 and 95 px to 47, 23, 11 and 5: the only
    placement of pools after every group that gives the published 4224 = 64 * 16 + 128 * 25.

    Args:
        dropout: probability of dropping a feature before the last layer.
        input_mean, input_std: `forward` first makes (x - input_mean) / input_std of the [0, 1] image.
    """

    def __init__(
        self, in_channels: int = 1, dropout: float = 0.0, input_mean: float = 0.5, input_std: float = 0.5
    ) -> None:
        super().__init__()
        self.register_load_state_dict_post_hook(refuse_other_weights)
        check("input_std", input_std, input_std > 0, "a positive number")
        self.input_mean, self.input_std = float(input_mean), float(input_std)
        self.context_px, self.local_px = 95, 9
        self.local_branch = nn.Sequential(*_conv(in_channels, 32), *_conv(32, 32), _pool(), *_conv(32, 64))
        self.context_branch = nn.Sequential(
            *(*_conv(in_channels, 32), _pool()),
            *(*_conv(32, 64), *_conv(64, 64), _pool()),
            *(*_conv(64, 128), *_conv(128, 128), _pool()),
            *(*_conv(128, 256), *_conv(256, 128), _pool()),
        )
        self.hidden = nn.Linear(64 * 4 * 4 + 128 * 5 * 5, 128)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(128, 2)
        self.to(memory_format=torch.channels_last)  # faster on CPU, same numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Log-odds [B, 1] of MC for the middle of patches [B, in_channels, 95, 95] in [0, 1], centred on candidates.

        The softmax of two outputs is the sigmoid of their difference, which is returned; cross-entropy of the two is
        binary cross-entropy of the difference.
        """
        side, local_side = self.context_px, self.local_px
        if x.shape[2] != side or x.shape[3] != side:
            raise ValueError(f"x: got patches of {x.shape[2]} x {x.shape[3]} px; want {side} x {side}")
        x = (x - self.input_mean) / self.input_std
        edge = (side - local_side) // 2
        local = self.local_branch(x[:, :, edge : edge + local_side, edge : edge + local_side])
        features = torch.cat([local.flatten(1), self.context_branch(x).flatten(1)], dim=1)
        outputs = self.output(self.dropout(torch.relu(self.hidden(features))))
        return outputs[:, 1:] - outputs[:, :1]
