import pytest
import torch
from torch.nn import functional

from scripts.networks.fourier_conv import FourierConv


def random_layer(kernel_px):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 5, kernel_px, kernel_px, generator=generator) / kernel_px
    return weight, torch.randn(6, generator=generator)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 24, 24), (2, 30, 70), (1, 101, 49), (1, 3, 400)])
@pytest.mark.parametrize("kernel_px", [9, 5])
def test_equals_the_direct_convolution(shape, kernel_px):
    weight, bias = random_layer(kernel_px)
    image = torch.rand(*shape, 5, generator=torch.Generator().manual_seed(1))
    wanted = functional.conv2d(image.permute(0, 3, 1, 2), weight, bias, padding=kernel_px // 2).permute(0, 2, 3, 1)
    torch.testing.assert_close(FourierConv(weight, bias)(image, lambda x: x), wanted, rtol=0, atol=1e-5)


def test_strips_leave_no_trace_and_the_function_sees_every_pixel_once():
    weight, bias = random_layer(9)
    image = torch.rand(1, 300, 500, 5, generator=torch.Generator().manual_seed(1))  # several strips
    layer, seen = FourierConv(weight, bias), []

    def squares(strip):
        seen.append(strip.shape[0])
        return strip[..., :2].square()

    wanted = functional.conv2d(image.permute(0, 3, 1, 2), weight, bias, padding=4).permute(0, 2, 3, 1)[..., :2].square()
    torch.testing.assert_close(layer(image, squares), wanted, rtol=0, atol=1e-4)
    assert len(seen) > 2 and sum(seen) == 312  # the next multiple of 24 px


def test_bfloat16_is_close():
    weight, bias = random_layer(9)
    image = torch.rand(1, 60, 60, 5, generator=torch.Generator().manual_seed(1))
    exact = FourierConv(weight, bias)(image, lambda x: x)
    rounded = FourierConv(weight, bias, torch.bfloat16)(image.bfloat16(), lambda x: x)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).abs().max() < 0.05 * exact.std()
