import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from scripts.networks.slim_fcn import RECEPTIVE_FIELD_PX, ParallelBlock, SlimFCN


def test_has_the_published_number_of_parameters():
    assert sum(parameter.numel() for parameter in SlimFCN().parameters() if parameter.requires_grad) == 447_553


def test_state_dict_has_the_published_keys():
    wanted = {"pred.weight", "pred.bias"}
    for block in range(1, 6):
        wanted |= {f"block{block}.conv{size}.{kind}" for size in (3, 5, 7, 9) for kind in ("weight", "bias")}
        wanted |= {
            f"block{block}.bn.{kind}"
            for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        }
    assert set(SlimFCN().state_dict()) == wanted


def test_receptive_field_is_exactly_45_px():
    network = SlimFCN().eval()
    for module in network.modules():  # positive weights and no bias keep every ReLU open: nothing cancels
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.abs() + 0.01
            torch.nn.init.zeros_(module.bias)
    image = torch.ones(1, 1, 61, 63, requires_grad=True)
    network(image)[0, 0, 30, 31].backward()
    wanted = np.zeros((61, 63), bool)
    wanted[30 - 22 : 30 + 23, 31 - 22 : 31 + 23] = True
    np.testing.assert_array_equal(image.grad[0, 0].numpy() != 0, wanted)
    assert RECEPTIVE_FIELD_PX == 45


def test_block_equals_its_definition_written_out():
    torch.manual_seed(0)
    block = ParallelBlock(2, 8).eval()
    block.bn.running_mean.uniform_(-0.1, 0.1)
    block.bn.running_var.uniform_(0.5, 2.0)
    image = torch.randn(1, 2, 12, 15)
    w = {key: value.numpy() for key, value in block.state_dict().items()}
    maps = []
    for size in (3, 5, 7, 9):
        for kernel, bias in zip(w[f"conv{size}.weight"], w[f"conv{size}.bias"], strict=True):
            maps.append(
                sum(correlate(x, k, mode="constant") for x, k in zip(image[0].numpy(), kernel, strict=True)) + bias
            )
    normed = (np.stack(maps) - w["bn.running_mean"][:, None, None]) / np.sqrt(w["bn.running_var"] + 1e-5)[:, None, None]
    with torch.no_grad():
        np.testing.assert_allclose(block(image)[0].numpy(), np.maximum(normed, 0), atol=1e-5)


def test_default_scaling_is_the_published_one():
    network = SlimFCN()
    assert (network.input_mean, network.input_std) == (0.157, 0.163)


@pytest.mark.parametrize("widths", [(4, 16, 32, 64), (4, 16, 32, 64, 126)])
def test_bad_widths_are_refused(widths):
    with pytest.raises(ValueError, match="want"):
        SlimFCN(widths=widths)
