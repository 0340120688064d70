import math

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from scipy.ndimage import binary_closing
from torch.nn import functional as F

from scripts.training.losses import OHEMLoss, ProximityLoss, area_weights, seams


def logit(probability):
    return math.log(probability / (1 - probability))


def selected(loss, logits, target):
    """Value of the loss and the mask of pixels with a gradient."""
    logits = logits.clone().requires_grad_()
    value = loss(logits, target)
    value.backward()
    return value.item(), logits.grad != 0


# ------------------------------------------------------------------ online hard negative mining


def test_ohem_takes_three_hardest_negatives_per_positive():
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0], [-3.0, 1.0, -2.0, 0.0]])[None, None]
    target = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]])[None, None]
    value, used = selected(OHEMLoss(ratio=3, min_negatives=1), logits, target)
    assert used[0, 0].tolist() == [[True, False, True, True], [False, True, False, False]]
    softplus = [math.log1p(math.exp(x)) for x in (-2.0, 0.5, 3.0, 1.0)]  # -log sigmoid(2), -log(1 - sigmoid(x))
    assert value == pytest.approx(sum(softplus) / 4, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_ohem_selection_equals_sorting_the_whole_batch(seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(3, 1, 17, 19)).astype(np.float32))
    target = torch.from_numpy(rng.choice(3, p=[0.85, 0.05, 0.1], size=(3, 1, 17, 19)))
    value, used = selected(OHEMLoss(min_negatives=1), logits, target)
    flat, labels = logits.flatten().numpy(), target.flatten().numpy()
    negatives = np.flatnonzero(labels == 0)
    hardest = negatives[np.argsort(-flat[negatives])][: 3 * (labels == 1).sum()]
    wanted = labels == 1
    wanted[hardest] = True
    np.testing.assert_array_equal(used.flatten().numpy(), wanted)
    cross_entropy = np.where(labels == 1, np.log1p(np.exp(-flat)), np.log1p(np.exp(flat)))
    assert value == pytest.approx(cross_entropy[wanted].mean(), rel=1e-5)


def test_ohem_without_positives_learns_from_the_hardest_negatives():
    logits = torch.arange(100.0).reshape(1, 1, 10, 10) / 50
    value, used = selected(OHEMLoss(min_negatives=8), logits, torch.zeros(1, 1, 10, 10))
    assert used.flatten().nonzero().flatten().tolist() == list(range(92, 100))
    assert value == pytest.approx(F.softplus(logits.flatten()[-8:]).mean().item(), rel=1e-6)


def test_ohem_selects_over_the_batch_not_per_image():
    logits = torch.stack([torch.full((1, 4, 4), 2.0), torch.full((1, 4, 4), -2.0)])
    target = torch.zeros(2, 1, 4, 4)
    target[1, 0, 0, 0] = 1
    _, used = selected(OHEMLoss(min_negatives=1), logits, target)
    assert used[0].sum() == 3  # the easy image's positive takes its negatives from the hard image
    assert used[1].sum() == 1


def test_ohem_never_touches_ignored_pixels():
    logits = torch.zeros(1, 1, 4, 4)
    logits[..., 0] = 9.0
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0] = 2
    target[0, 0, 3, 3] = 1
    _, used = selected(OHEMLoss(ratio=20), logits, target)  # more negatives than there are
    assert not used[..., 0].any()
    assert used[..., 1:].all()


def test_ohem_of_ignored_pixels_alone_is_zero():
    value, used = selected(OHEMLoss(), torch.randn(1, 1, 4, 4), torch.full((1, 1, 4, 4), 2))
    assert value == 0
    assert not used.any()


def test_ohem_of_positives_alone_and_of_extreme_logits_is_finite():
    value, used = selected(OHEMLoss(), torch.full((1, 1, 4, 4), -80.0), torch.ones(1, 1, 4, 4))
    assert value == pytest.approx(80.0)
    assert used.all()


def test_ohem_takes_half_precision_logits():
    value = OHEMLoss()(torch.zeros(1, 1, 8, 8, dtype=torch.bfloat16), torch.zeros(1, 1, 8, 8))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(math.log(2))


def test_ohem_keeps_its_ratio_from_the_first_positives_on():
    logits = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(1, 1, 40, 40)
    target[0, 0, 3, :8] = 1
    _, used = selected(OHEMLoss(ratio=3, min_negatives=256), logits, target)
    assert used[target == 1].all() and used[target == 0].sum() == 24
    _, used = selected(OHEMLoss(ratio=3, min_negatives=256), logits, torch.zeros_like(target))
    assert used.sum() == 256  # the floor counts without positives only


# ------------------------------------------------------------------ soft Dice of the proximity map


def test_dice_hand_worked():
    """Four pixels: sum(P Q) = 0.5 + 0.1, sum(P) = 0.5 + 0.5 + 0.2 + 0.1, sum(Q) = 1 + 0 + 0.5 + 0."""
    logits = torch.tensor([logit(p) for p in (0.5, 0.5, 0.2, 0.1)]).reshape(2, 1, 2, 1)
    target = torch.tensor([1.0, 0.0, 0.5, 0.0]).reshape(2, 1, 2, 1)
    wanted = 1 - (2 * 0.6 + 1) / (1.3 + 1.5 + 1)
    assert ProximityLoss()(logits, target).item() == pytest.approx(wanted, abs=1e-6)


def test_dice_equals_equation_10_over_the_whole_batch_and_monai():
    torch.manual_seed(0)
    logits, target = torch.randn(3, 1, 9, 11), torch.rand(3, 1, 9, 11) ** 4
    p, q = torch.sigmoid(logits.double()), target.double()
    wanted = 1 - (2 * (p * q).sum() + 1) / (p.sum() + q.sum() + 1)
    value = ProximityLoss()(logits, target)
    assert value.item() == pytest.approx(wanted.item(), abs=1e-6)
    monai = DiceLoss(sigmoid=True, batch=True, smooth_nr=1, smooth_dr=1)(logits, target)
    assert value.item() == pytest.approx(monai.item(), abs=1e-7)


def test_dice_of_empty_target_and_prediction_is_near_zero():
    empty = torch.zeros(1, 1, 8, 8)
    assert ProximityLoss()(empty - 40, empty).item() == pytest.approx(0, abs=1e-6)
    assert ProximityLoss()(empty + 40, empty).item() == pytest.approx(64 / 65, abs=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"dice_weight": 0.0, "bce_weight": 1.0}, {"bce_weight": 0.5}])
def test_ignored_pixels_count_nowhere(arguments):
    torch.manual_seed(0)
    loss = ProximityLoss(**arguments)
    logits, target = torch.randn(1, 1, 6, 6), torch.rand(1, 1, 6, 6)
    blanked = target.clone()
    blanked[..., 4:] = 2
    value, used = selected(loss, logits, blanked)
    assert value == pytest.approx(loss(logits[..., :4], target[..., :4]).item(), abs=1e-6)
    assert not used[..., 4:].any()
    assert used[..., :4].all()


def test_cross_entropy_with_soft_target_hand_worked():
    logits = torch.tensor([logit(0.8), logit(0.3)]).reshape(1, 1, 1, 2)
    target = torch.tensor([0.5, 0.0]).reshape(1, 1, 1, 2)
    loss = ProximityLoss(dice_weight=0.0, bce_weight=2.0, positive_weight=3.0)
    wanted = (3 * 0.5 * -math.log(0.8) + 0.5 * -math.log(0.2) - math.log(0.7)) / 2
    assert loss(logits, target).item() == pytest.approx(2 * wanted, rel=1e-5)


def test_seams_are_what_a_closing_fills():
    mask = np.random.default_rng(0).random((2, 20, 30)) > 0.7
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # scipy takes what is outside as background
    wanted = np.stack([binary_closing(one, np.ones((3, 3))) & ~one for one in mask])[:, None]
    assert wanted.any() and np.array_equal(seams(torch.tensor(mask[:, None]).float())[inner], wanted[inner])


def test_seams_of_the_second_map_weigh_more():
    mask = torch.tensor([[0, 0, 1, 1, 0, 1, 1, 0, 0, 0]] * 4).float()[None, None]
    target, logits = torch.cat([mask, mask], 1), torch.zeros(1, 2, 4, 10)
    terms = {"dice_weight": 0.0, "bce_weight": 1.0}
    seam, plain = ProximityLoss(**terms, seam_weight=6.0)(logits, target), ProximityLoss(**terms)(logits, target)
    assert plain.item() == pytest.approx(2 * math.log(2))
    assert seam.item() - plain.item() == pytest.approx(4 * 5 * math.log(2) / 40, rel=1e-5)  # one column of 4 px


def test_terms_add_up():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 5, 5), torch.rand(2, 1, 5, 5)
    wanted = 0.7 * ProximityLoss()(logits, target) + 0.2 * F.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(ProximityLoss(dice_weight=0.7, bce_weight=0.2)(logits, target), wanted)


@pytest.mark.parametrize("loss", [OHEMLoss(), ProximityLoss()])
def test_shapes_must_agree(loss):
    with pytest.raises(ValueError, match=r"target: got shape \(2, 4, 4\)"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (OHEMLoss, {"ratio": -1}),
        (OHEMLoss, {"min_negatives": 0}),
        (ProximityLoss, {"dice_weight": 0}),
        (ProximityLoss, {"bce_weight": -1}),
    ],
)
def test_bad_arguments_are_refused(loss, arguments):
    with pytest.raises(ValueError, match="got"):
        loss(**arguments)


def test_every_object_weighs_the_same_at_power_1_whatever_its_area():
    mask = torch.zeros(2, 1, 5, 6, dtype=torch.bool)
    mask[0, 0, 0, 0] = mask[0, 0, 2:4, 2:6] = mask[1, 0, 4, :2] = True  # 1, 8 and 2 px
    weights = area_weights(mask, 1.0)
    assert torch.all(weights[~mask] == 1) and weights[mask].mean().item() == pytest.approx(1)
    sums = [weights[0, 0, 0, 0], weights[0, 0, 2:4, 2:6].sum(), weights[1, 0, 4, :2].sum()]
    assert [value.item() for value in sums] == pytest.approx([11 / 3] * 3)  # 11 px in all
    half = area_weights(mask, 0.5)
    assert (half[0, 0, 0, 0] / half[0, 0, 2, 2]).item() == pytest.approx(math.sqrt(8))
    assert torch.equal(area_weights(mask & False, 1.0), torch.ones_like(weights))


def test_equal_objects_pulls_the_pixels_of_small_mcs_up_in_the_second_map_alone():
    logits, target = torch.zeros(1, 2, 4, 6, requires_grad=True), torch.zeros(1, 2, 4, 6)
    target[:, :, 0, 0] = target[:, :, 2:4, 2:6] = 1
    ProximityLoss(dice_weight=0.0, bce_weight=1.0, equal_objects=1.0)(logits, target).backward()
    small, large = logits.grad[0, :, 0, 0], logits.grad[0, :, 2, 2]
    assert (small / large).tolist() == pytest.approx([1.0, 8.0])
    with pytest.raises(ValueError, match="equal_objects"):
        ProximityLoss(equal_objects=1.5)
