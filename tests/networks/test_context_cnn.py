"""Context-sensitive CNN and its inferer: sizes by hand, what each branch sees, candidates classified one by one."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from scripts.candidates.breast_mask import BreastRegion, breast_mask, erode_breast
from scripts.candidates.dog_discs import dog_blobs
from scripts.candidates.hdog import HDoGParameters
from scripts.inference.candidate_inferer import CandidateInferer
from scripts.networks.context_cnn import ContextCNN


@pytest.fixture
def network():
    torch.manual_seed(0)
    return ContextCNN().eval()


def test_parameters_and_joined_features_equal_the_count_by_hand(network):
    pairs = [(1, 32), (32, 32), (32, 64)]  # local
    pairs += [(1, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 128)]  # context
    convolutions = sum(9 * a * b + 2 * b for a, b in pairs)
    assert network.hidden.in_features == 4224 == 64 * 4**2 + 128 * 5**2
    assert sum(p.numel() for p in network.parameters()) == convolutions + 4225 * 128 + 129 * 2 == 1_437_442
    with torch.no_grad():
        assert network.local_branch(torch.rand(1, 1, 9, 9)).shape == (1, 64, 4, 4)
        assert network.context_branch(torch.rand(1, 1, 95, 95)).shape == (1, 128, 5, 5)


def test_output_is_the_difference_of_two_and_its_sigmoid_their_softmax(network):
    patches, seen = torch.rand(3, 1, 95, 95), []
    network.output.register_forward_hook(lambda module, given, made: seen.append(made))
    with torch.no_grad():
        logits = network(patches)
    assert logits.shape == (3, 1) and seen[0].shape == (3, 2)
    torch.testing.assert_close(torch.sigmoid(logits[:, 0]), torch.softmax(seen[0], dim=1)[:, 1])


def test_the_local_branch_sees_the_middle_9_px_only(network):
    seen = []
    network.local_branch.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    patch = torch.rand(1, 1, 95, 95)
    with torch.no_grad():
        network(patch)
    torch.testing.assert_close(seen[0], (patch[:, :, 43:52, 43:52] - 0.5) / 0.5)  # 47 is the middle


def test_every_parameter_gets_a_gradient_and_torchscript_agrees(network):
    network.train()(torch.rand(2, 1, 95, 95)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.eval()
    patches = torch.rand(2, 1, 95, 95)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(network)(patches), network(patches), rtol=1e-4, atol=1e-5)


def test_other_sizes_are_refused(network):
    with pytest.raises(ValueError, match="patches of 95 x 96 px"):
        network(torch.rand(1, 1, 95, 96))
    with pytest.raises(ValueError, match="input_std: got 0"):
        ContextCNN(input_std=0)


def inferer_of(erosion_px=45, precision="float32", **options):
    hdog = HDoGParameters(1.6, 2.0, dog_threshold=0.01, reference_spacing_mm=0.0)
    return CandidateInferer(hdog, BreastRegion(erosion_px, 0.0), precision=precision, **options)


class MiddlePixel(nn.Module):
    """Stands for the CNN: the logit is 100 x the grey value of the candidate; remembers the sizes of its batches."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append(len(x))
        return 100 * x[:, :, x.shape[2] // 2, x.shape[3] // 2]


@pytest.fixture
def image():
    rows, cols = np.mgrid[:200, :160]
    image = np.where(cols < 140, 0.4, 0.0)
    for row, col in ((60, 20), (100, 70), (140, 50), (3, 30)):
        image = image + 0.3 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * 1.8**2))
    return np.clip(image + np.random.default_rng(0).normal(0, 0.002, image.shape), 0, 1).astype(np.float32)


def test_every_candidate_in_the_eroded_breast_is_classified_once_in_batches(image):
    inputs = MetaTensor(torch.from_numpy(image)[None, None], meta={"spacing_mm": (0.07, 0.07)})
    network = MiddlePixel()
    found = inferer_of(batch_size=2, patch_px=15, erosion_px=5)(inputs, network)
    within = erode_breast(breast_mask(image, 0.07), 5)
    blobs = dog_blobs(image, HDoGParameters(1.6, 2.0, dog_threshold=0.01), within)
    assert {(60, 20), (100, 70), (140, 50)} <= {(int(r), int(c)) for r, c, _ in blobs}
    assert found.shape == (1, 2, 200, 160) and max(network.batches) <= 2 and sum(network.batches) == len(blobs)
    expected = torch.full((200, 160), -20.0)
    for row, col, _ in blobs.astype(int):
        expected[row, col] = 100 * float(image[row, col])
    torch.testing.assert_close(
        torch.as_tensor(found[0, 0]).as_tensor() if hasattr(found, "meta") else found[0, 0], expected
    )
    assert torch.equal(found[0, 1] > 0, expected > -20) and found[0, 1].max() == pytest.approx(1.6)


def test_an_image_without_candidates_never_reaches_the_network():
    network = MiddlePixel()
    found = inferer_of()(torch.full((1, 1, 50, 50), 0.5), network)
    assert network.batches == [] and (found[:, 0] == -20).all() and not found[:, 1].any()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="batch_size: got 0"):
        inferer_of(batch_size=0)
    with pytest.raises(ValueError, match="precision: got 'half'"):
        inferer_of(precision="half")
    with pytest.raises(ValueError, match=r"inputs: got shape \(1, 3, 5, 5\)"):
        inferer_of()(torch.zeros(1, 3, 5, 5), MiddlePixel())
