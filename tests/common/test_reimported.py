"""A class that was imported twice is the same for `is_a`, and no other class is."""

import importlib
import sys

import torch

from scripts.common.reimported import is_a
from scripts.inference.precision import InferenceForm
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN


def test_a_network_of_an_earlier_import_is_known_and_takes_the_form_for_inference(monkeypatch):
    monkeypatch.delitem(sys.modules, "scripts.networks.slim_fcn")
    earlier = importlib.import_module("scripts.networks.slim_fcn").SlimFCN(widths=(4, 4, 4, 4, 4)).eval()
    assert not isinstance(earlier, SlimFCN)
    assert is_a(earlier, SlimFCN) and is_a(earlier, torch.nn.Module) and not is_a(earlier, FPN)
    form, _ = InferenceForm("float32").of(earlier, torch.device("cpu"))
    assert form is not earlier  # fused, as on the command line
    image = torch.rand(1, 1, 40, 48)
    with torch.no_grad():
        torch.testing.assert_close(form(image), earlier(image), atol=1e-4, rtol=1e-4)
