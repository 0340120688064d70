"""Convolution with large kernels and many channels by small Fourier transforms: a tenth of the multiplications.

The image is cut into windows of 32 px that overlap by kernel - 1 px (overlap-save). In the frequency domain the
convolution is one matrix product over the channels per frequency, whatever the kernel's size. The transforms are
matrix products, too, with the frequency as leading axis: a processor does these at its full rate, also in bfloat16,
and no transposition is left between the steps.
"""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

#: Side of a window; measured against 24, 40 and 48 (docs/log/performance.md).
WINDOW_PX = 32
#: Windows per matrix product: few enough for the spectra to stay in cache.
WINDOWS_AT_A_TIME = 64


class FourierConv(nn.Module):
    """The same result as `torch.nn.functional.conv2d` with zero padding that keeps the size; for inference only.

    Args:
        weight: [out_channels, in_channels, k, k], k odd and below `WINDOW_PX`.
        bias: [out_channels].
        dtype: of the arithmetic, torch.float32 or torch.bfloat16.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.out_channels, in_channels, self.kernel_px, _ = weight.shape
        self.step_px = WINDOW_PX - self.kernel_px + 1
        n, kept = WINDOW_PX, self.step_px
        cols = n // 2 + 1  # column frequencies; the others are conjugates, as the image is real
        spectrum = torch.fft.rfft2(weight.float(), s=(n, n)).conj().permute(3, 2, 1, 0)  # (col, row, in, out)
        spectrum = spectrum.reshape(cols * n, in_channels, self.out_channels)

        forward_cols = torch.stack(_cos_and_sin(cols, n), dim=1) * torch.tensor([1.0, -1.0])[:, None]
        cos, sin = _cos_and_sin(n, n)
        real, imaginary = torch.stack([cos, sin], dim=1), torch.stack([-sin, cos], dim=1)
        # Rows (-imaginary, real, imaginary): the last two are Z, the first two are i Z, without a copy.
        forward_rows = torch.stack([-imaginary, real, imaginary], dim=1)
        cos, sin = (wave[:kept] / n for wave in _cos_and_sin(n, n))
        backward_rows = torch.stack([torch.stack([cos, -sin], dim=2), torch.stack([sin, cos], dim=2)])
        twice = torch.full((cols,), 2.0 / n, dtype=torch.float64)
        twice[0] = twice[-1] = 1.0 / n
        backward_cols = torch.stack([twice[:, None] * wave[:, :kept] for wave in _cos_and_sin(cols, n)], dim=1)
        backward_cols[:, 1] *= -1
        matrices = {
            "real": spectrum.real,
            "imaginary": spectrum.imag,
            "forward_cols": forward_cols.reshape(2 * cols, n),
            "forward_rows": forward_rows.reshape(3 * n, 2 * n),
            "backward_rows": backward_rows.reshape(2 * kept, 2 * n),
            "backward_cols": backward_cols.reshape(2 * cols, kept).t(),
            "bias": bias,
        }
        for name, matrix in matrices.items():
            self.register_buffer(name, matrix.to(dtype).contiguous())

    def forward(self, x: torch.Tensor, after: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Filter images and apply a function to the result, strip by strip while it is in cache.

        Args:
            x: [B, H, W, in_channels], channels last, of the layer's dtype.
            after: maps [h, w, out_channels] to [h, w, any number of channels], pixel by pixel; may change its argument.

        Returns:
            [B, H, W, channels that `after` gives].
        """
        rows, cols = x.shape[1:3]
        half, step = self.kernel_px // 2, self.step_px
        tall, wide = -(-rows // step), -(-cols // step)
        padded = functional.pad(x, (0, 0, half, wide * step - cols + half, half, tall * step - rows + half))
        strip = step * max(1, round(WINDOWS_AT_A_TIME / wide))
        images = []
        for image in padded:
            tops = range(0, tall * step, strip)
            strips = [after(self._filter(image[top : top + strip + 2 * half])) for top in tops]
            images.append(torch.cat(strips)[:rows, :cols])
        return torch.stack(images)

    def _filter(self, image: torch.Tensor) -> torch.Tensor:
        """Convolve [h + k - 1, w + k - 1, C] to [h, w, out_channels]; h and w multiples of `step_px`."""
        n, step, channels = WINDOW_PX, self.step_px, image.shape[2]
        cols = n // 2 + 1
        # (column and row within a window; row and column of the window; channel)
        windows = image.unfold(0, n, step).unfold(1, n, step).permute(4, 3, 0, 1, 2)
        tall, wide = windows.shape[2:4]
        count = tall * wide
        by_col = (self.forward_cols @ windows.reshape(n, -1)).view(cols, 2 * n, count * channels)
        spectrum = torch.matmul(self.forward_rows, by_col).view(cols * n, 3 * count, channels)
        product = torch.bmm(spectrum[:, count:], self.real)
        product.baddbmm_(spectrum[:, : 2 * count], self.imaginary)
        by_col = torch.matmul(self.backward_rows, product.view(cols, 2 * n, -1)).view(2 * cols, -1)
        filtered = (self.backward_cols @ by_col).view(step, step, tall, wide, -1)
        return (filtered.permute(2, 1, 3, 0, 4) + self.bias).reshape(tall * step, wide * step, -1)


def _cos_and_sin(frequencies: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin of 2 pi u j / n, float64, both of shape (frequencies u, positions j)."""
    turns = torch.outer(torch.arange(frequencies), torch.arange(n)) % n
    phase = turns.double() * (2 * math.pi / n)
    return phase.cos(), phase.sin()
