"""What every network must do: any size, gradients everywhere, plain state dicts, TorchScript, dropout."""

import pytest
import torch

from scripts.common.settings import describe
from scripts.networks.centre_net import CentreNet
from scripts.networks.context_cnn import ContextCNN
from scripts.networks.deeplab_v3 import DeepLabV3
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN

NETWORKS = {
    "fpn_residual": (FPN, {"encoder": "residual"}),
    "fpn_residual_detail": (FPN, {"encoder": "residual", "detail_channels": 8, "pyramid_channels": 64}),
    "fpn_inception_v4": (FPN, {"encoder": "inception_v4"}),
    "slim_fcn": (SlimFCN, {}),
    "deeplab_v3": (DeepLabV3, {}),
}


@pytest.fixture(params=NETWORKS)
def make(request):
    """A function that builds the network, the same weights every time unless a seed is given."""
    network_class, arguments = NETWORKS[request.param]

    def build(seed=0, **more):
        torch.manual_seed(seed)
        return network_class(**arguments, **more)

    return build


@pytest.fixture
def odd_images():
    return torch.rand(2, 1, 70, 101, generator=torch.Generator().manual_seed(1))


def test_output_has_the_size_of_the_input(make, odd_images):
    network = make().eval()
    with torch.no_grad():
        for images in (odd_images, torch.rand(1, 1, 32, 32), torch.rand(1, 1, 1, 40), torch.rand(1, 1, 64, 96)):
            logits = network(images)
            assert logits.shape == images.shape
            assert torch.isfinite(logits).all()


def test_output_depends_on_the_image_and_is_no_probability(make, odd_images):
    network = make().eval()
    with torch.no_grad():
        logits = network(odd_images)
        assert logits.std() > 0
        assert not torch.allclose(logits, network(1 - odd_images))
        assert logits.min() < 0 or logits.max() > 1


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (2, 1, 70, 33)])
def test_every_parameter_gets_a_gradient_in_training(make, shape):
    network = make().train()
    torch.manual_seed(3)
    network(torch.rand(shape)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_saved_weights_give_the_same_output(make, odd_images, tmp_path):
    trained, fresh = make().eval(), make(seed=5).eval()
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    with torch.no_grad():
        assert not torch.equal(trained(odd_images), fresh(odd_images))
        fresh.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
        assert torch.equal(trained(odd_images), fresh(odd_images))


def test_torchscript_gives_the_same_output_after_saving(make, odd_images, tmp_path):
    network = make().eval()
    torch.jit.script(network).save(str(tmp_path / "model.ts"))
    scripted = torch.jit.load(str(tmp_path / "model.ts"))
    with torch.no_grad():
        torch.testing.assert_close(scripted(odd_images), network(odd_images), rtol=1e-4, atol=1e-5)


def test_dropout_is_active_only_in_training(make, odd_images):
    network = make(dropout=0.5).eval()
    with torch.no_grad():
        settled = network(odd_images)
        assert torch.equal(settled, network(odd_images))
        network.dropout.train()
        assert not torch.equal(network(odd_images), network(odd_images))
        without = make(dropout=0.0).eval()
        without.dropout.train()
        assert torch.equal(without(odd_images), settled)


def test_scaling_is_part_of_the_network_but_not_of_its_state(make, odd_images):
    scaled = make(input_mean=0.2, input_std=0.1).eval()
    plain = make(input_mean=0.0, input_std=1.0).eval()
    with torch.no_grad():
        torch.testing.assert_close(scaled(odd_images), plain((odd_images - 0.2) / 0.1))
    assert not any("mean" in key and "running_mean" not in key for key in scaled.state_dict())
    with pytest.raises(ValueError, match=r"input_std: got 0; want a positive"):
        make(input_std=0)


def test_the_arguments_are_known_by_name(make):
    network = make(dropout=0.25, input_std=0.4)
    described = describe(network)
    assert described["class"] == type(network).__name__
    assert (described["dropout"], described["input_std"]) == (0.25, 0.4) and "input_mean" in described


# ------------------------------------------------------------------ shipped weights

DETAILED = {"pyramid_channels": 128, "segmentation_channels": 64, "detail_channels": 16, "align_corners": False}
#: weights -> network, side of the image, logits at the middle and at (5, 9), mean and standard deviation of all
SHIPPED = {
    "model.pt": (
        FPN("residual", out_channels=3, **DETAILED),
        64,
        [6.4805, 11.4624, 19.9176],
        [-6.1156, -11.0404, -12.4640],
        -9.7091,
        3.8156,
    ),
    "slim_fcn.pt": (SlimFCN(), 64, [2.4899], [-6.9356], -6.5897, 0.9368),
    "centre_net.pt": (CentreNet(), 32, [0.3445], [0.1861], -0.2298, 0.8596),
    "context_cnn.pt": (ContextCNN(), 95, [4.3006], [4.3006], 4.3006, 0.0),
}


def bright_dot(side):
    """A wavy background with one Gaussian dot in the middle."""
    place = torch.arange(side, dtype=torch.float64)
    squared = (place[:, None] - side // 2) ** 2 + (place[None] - side // 2) ** 2
    waves = 0.02 * torch.sin(place[:, None] * 0.7) * torch.cos(place[None] * 0.45)
    return (0.3 + waves + 0.3 * torch.exp(-squared / 8)).float()[None, None]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_weights_give_the_logits_that_they_gave(root, name):
    network, side, middle, corner, mean, deviation = SHIPPED[name]
    network.load_state_dict(torch.load(root / "models" / name, weights_only=True))
    with torch.no_grad():
        logits = network.eval()(bright_dot(side).expand(1, getattr(network, "in_channels", 1), -1, -1))
    flat = logits if logits.ndim == 4 else logits[..., None, None].expand(-1, -1, side, side)
    torch.testing.assert_close(flat[0, :, side // 2, side // 2], torch.tensor(middle), rtol=0, atol=1e-3)
    torch.testing.assert_close(flat[0, :, 5, 9], torch.tensor(corner), rtol=0, atol=1e-3)
    assert flat.mean().item() == pytest.approx(mean, abs=1e-3)
    assert flat.std().item() == pytest.approx(deviation, abs=1e-3)
