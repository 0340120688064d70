"""A slim FCN runs in its fused form, which follows the weights and belongs to one network."""

import copy

import pytest
import torch

from scripts.inference.precision import InferenceForm
from scripts.networks.slim_fcn import SlimFCN

CPU = torch.device("cpu")


def small() -> SlimFCN:
    return SlimFCN(widths=(4, 8, 8, 8, 8)).eval()


def test_a_form_belongs_to_one_network():
    form, first = InferenceForm(), small()
    made, _ = form.of(first, CPU)
    second = copy.copy(first)  # shares every weight
    assert form.of(first, CPU)[0] is made and form.of(second, CPU)[0] is not made


def test_the_form_follows_the_weights():
    form, network, image = InferenceForm("float32"), small(), torch.rand(1, 1, 40, 40)
    before = form.of(network, CPU)[0](image)
    network.pred.bias.data.add_(1)
    with torch.no_grad():
        network.pred.bias.add_(1)
        after = form.of(network, CPU)[0](image)
        torch.testing.assert_close(after, network(image), rtol=0, atol=1e-4)
    assert (after - before).mean() > 1.5


def test_other_networks_run_as_they_are():
    network = torch.nn.Conv2d(1, 1, 3)
    assert InferenceForm("float32").of(network, CPU)[0] is network


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision: got 'int4'; want one of auto, float32, bfloat16, int8"):
        InferenceForm("int4")
