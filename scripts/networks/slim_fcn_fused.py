"""The slim FCN for inference only: BatchNorm folded in, the four parallel convolutions of a block run as one or two."""

import copy
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from scripts.networks.fourier_conv import FourierConv
from scripts.networks.slim_fcn import KERNEL_SIZES_PX, ParallelBlock, SlimFCN

#: From this many input channels on, `FourierConv` is the faster one on a processor (docs/log/performance.md).
FOURIER_CHANNELS = 32
#: From this many on, two kernels (3 in 5, 7 in 9) are faster than all four in one of 9 px.
PAIR_CHANNELS = 16


class EmbeddedConvs(nn.Module):
    """Parallel convolutions as fewer, larger ones: the smaller kernels stand zero-padded within the largest.

    `weights` are [out_channels, in_channels, k, k], k odd, `bias` that of all convolutions after each other; `groups`
    says how many neighbouring convolutions become one, e.g. (2, 2).
    """

    def __init__(
        self, weights: Sequence[torch.Tensor], bias: torch.Tensor, groups: Sequence[int], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        parts = iter(weights)
        for count in groups:
            kernel = embed_kernels([next(parts) for _ in range(count)])
            conv = nn.Conv2d(kernel.shape[1], len(kernel), kernel.shape[-1], padding=kernel.shape[-1] // 2)
            conv.weight.data, bias = kernel, bias
            conv.bias.data, bias = bias[: len(kernel)], bias[len(kernel) :]
            self.convs.append(conv.to(dtype=dtype, memory_format=torch.channels_last))

    def forward(self, x: torch.Tensor, after: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Map [B, H, W, in_channels] to `after` of [B, H, W, out_channels]; see `FourierConv.forward`."""
        maps = [conv(x.permute(0, 3, 1, 2)) for conv in self.convs]
        joined = maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)
        return after(joined.permute(0, 2, 3, 1))


class FusedSlimFCN(nn.Module):
    """What `fuse` makes of a `SlimFCN`; the first block stays in float32, as an image has more than bfloat16's 8 bits.

    The last convolution is a product over the channels, one column per pixel of the kernel, and a sum of the shifted
    columns: the widest feature map is never held as a whole.
    """

    def __init__(self, network: SlimFCN, dtype: torch.dtype, fourier: bool) -> None:
        super().__init__()
        self.input_mean, self.input_std, self.dtype = network.input_mean, network.input_std, dtype
        blocks = [network.block1, network.block2, network.block3, network.block4, network.block5]
        dtypes = [torch.float32] + [dtype] * 4
        self.convs = nn.ModuleList(_fuse_block(*pair, fourier) for pair in zip(blocks, dtypes, strict=True))
        weight = network.pred.weight
        self.kernel_px = weight.shape[-1]
        self.register_buffer("columns", weight.permute(1, 2, 3, 0).reshape(weight.shape[1], -1).to(dtype))
        self.register_buffer("bias", network.pred.bias.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 logits [B, out_channels, H, W] of images [B, in_channels, H, W] in [0, 1]."""
        maps = ((x.float() - self.input_mean) / self.input_std).permute(0, 2, 3, 1).contiguous()
        for conv in self.convs[:-1]:
            maps = conv(maps, functional.relu_).to(self.dtype)
        parts = self.convs[-1](maps, lambda strip: functional.relu_(strip) @ self.columns)
        (rows, cols), kernel = x.shape[2:], self.kernel_px
        parts = parts.unflatten(-1, (kernel, kernel, len(self.bias)))
        logits = parts.new_zeros(len(x), rows + kernel - 1, cols + kernel - 1, len(self.bias), dtype=torch.float32)
        for row, col in itertools.product(range(kernel), repeat=2):  # a pixel counts where the kernel's (row, col) is
            top, left = kernel - 1 - row, kernel - 1 - col
            logits[:, top : top + rows, left : left + cols] += parts[..., row, col, :]
        half = kernel // 2
        return (logits[:, half : half + rows, half : half + cols] + self.bias).permute(0, 3, 1, 2)


@torch.no_grad()
def fuse(network: SlimFCN, dtype: torch.dtype = torch.float32, fourier: bool | None = None) -> FusedSlimFCN:
    """The inference form of a network, on its device, in evaluation mode; later changes of weights are not followed.

    Args:
        network: a slim FCN with its weights loaded; left as it is.
        dtype: torch.float32 (logits as before to 1e-4) or torch.bfloat16.
        fourier: whether blocks of many channels run by `FourierConv`; None: on processors, not on GPUs.
    """
    device = network.pred.weight.device
    fused = FusedSlimFCN(copy.deepcopy(network).cpu(), dtype, device.type == "cpu" if fourier is None else fourier)
    return fused.requires_grad_(False).eval().to(device)


def embed_kernels(kernels: Sequence[torch.Tensor]) -> torch.Tensor:
    """One kernel [sum of out_channels, in_channels, k, k] of kernels of odd sizes; the smaller ones padded by zeros."""
    largest = max(kernel.shape[-1] for kernel in kernels)
    margins = [(largest - kernel.shape[-1]) // 2 for kernel in kernels]
    return torch.cat([functional.pad(k, (m, m, m, m)) for k, m in zip(kernels, margins, strict=True)])


def _fuse_block(block: ParallelBlock, dtype: torch.dtype, fourier: bool) -> nn.Module:
    """The block's convolutions with BatchNorm folded in: w' = w g / sqrt(var + eps), b' = (b - mean) g / ... + beta."""
    convs = [getattr(block, f"conv{size}") for size in KERNEL_SIZES_PX]
    bn = block.bn
    assert bn.running_var is not None and bn.running_mean is not None
    factor = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    bias = (torch.cat([conv.bias for conv in convs]) - bn.running_mean) * factor + bn.bias
    factors = factor.split([conv.out_channels for conv in convs])
    weights = [conv.weight * f[:, None, None, None] for conv, f in zip(convs, factors, strict=True)]
    in_channels = convs[0].in_channels
    if fourier and in_channels >= FOURIER_CHANNELS:
        return FourierConv(embed_kernels(weights), bias, dtype)
    return EmbeddedConvs(weights, bias, (2, 2) if in_channels >= PAIR_CHANNELS else (4,), dtype)
