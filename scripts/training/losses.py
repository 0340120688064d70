"""Losses: online hard negative mining (slim FCN) and soft Dice of the proximity map (HDoGReg). All take logits."""

import numpy as np
import torch
from monai.losses import DiceLoss
from torch import nn
from torch.nn import functional as F

from scripts.common.checks import check, check_number
from scripts.common.labels import BACKGROUND, IGNORE, MC
from scripts.common.objects import label_objects
from scripts.common.settings import recorded


@recorded
class OHEMLoss(nn.Module):
    """Binary cross-entropy of the positives and only the hardest negatives (arXiv 2102.00811, section 3).

    Over the whole batch (not per image), all n positive pixels and the ``ratio`` * n negatives with the highest
    logits are selected; the loss is their mean, and every other pixel gets a gradient of exactly zero. Pixels with
    target 2 (ignore) are never selected. A batch without positives gives the mean over its ``min_negatives``
    hardest negatives, a batch with nothing but ignored pixels zero.

    Args:
        ratio: negatives per positive, as far as the batch holds that many.
        min_negatives: negatives of a batch without positives; no floor for others.
    """

    def __init__(self, ratio: float = 3.0, min_negatives: int = 256) -> None:
        super().__init__()
        check_number("ratio", ratio)
        check_number("min_negatives", min_negatives, "[1, inf)", whole=True)
        self.ratio, self.min_negatives = float(ratio), int(min_negatives)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of logits [B, 1, H, W] and a target of the same shape: 0 background, 1 MC, 2 ignore."""
        _require_same_shape(logits, target)
        flat_logits, flat_target = logits.float().flatten(), target.flatten()
        positives = torch.nonzero(flat_target == MC).squeeze(1)
        negatives = torch.nonzero(flat_target == BACKGROUND).squeeze(1)
        wanted = round(self.ratio * positives.numel()) if positives.numel() else self.min_negatives
        if negatives.numel() > wanted:  # cross-entropy of a negative rises with its logit, so the logits rank them
            hardest = torch.topk(flat_logits.detach()[negatives], wanted, sorted=False).indices
            negatives = negatives[hardest]
        selected = torch.cat([positives, negatives])
        if selected.numel() == 0:
            return (flat_logits * 0.0).sum()
        chosen = flat_logits[selected]
        labels = torch.zeros_like(chosen)
        labels[: positives.numel()] = 1.0
        return F.binary_cross_entropy_with_logits(chosen, labels)


@recorded
class ProximityLoss(nn.Module):
    """Soft Dice of eq. (10) in arXiv 2102.00754, plus an optional binary cross-entropy with the soft target.

    Dice: 1 - (2 * sum(P * Q) + 1) / (sum(P) + sum(Q) + 1) over the whole batch, with P = sigmoid(logits) and Q the
    proximity map; this is MONAI's ``DiceLoss``. The defaults are the paper. Pixels with target 2 (ignore) count in
    neither term, which MONAI's ``DiceCELoss`` does not offer. Further maps, MCs and their cores, have the same terms.

    Args:
        bce_weight: weight of the cross-entropy term (mean over the pixels that are not ignored).
        positive_weight: factor on the part of the cross-entropy that pulls up, target * -log P.
        object_weight: weight of the second map's loss.
        object_positive_weight: ``positive_weight`` of the second map.
        core_weight: weight of the third map's loss, where there is one (its ``positive_weight`` is 1).
        seam_weight: factor on the cross-entropy of the second map at seams, the background a pixel wide between MCs
            that touch (the idea of arXiv 1505.04597, eq. 2); 1 is none.
        equal_objects: from 0, every pixel of an MC counts the same in the cross-entropy of the second map, to 1, every
            MC of a batch counts the same, whatever its area; see ``area_weights``.
    """

    def __init__(
        self,
        dice_weight: float = 1.0,
        bce_weight: float = 0.0,
        positive_weight: float = 1.0,
        object_weight: float = 1.0,
        object_positive_weight: float = 1.0,
        core_weight: float = 1.0,
        seam_weight: float = 1.0,
        equal_objects: float = 0.0,
    ) -> None:
        super().__init__()
        weights = {"dice_weight": dice_weight, "bce_weight": bce_weight, "positive_weight": positive_weight}
        weights |= {"object_weight": object_weight, "object_positive_weight": object_positive_weight}
        weights |= {"core_weight": core_weight, "seam_weight": seam_weight}
        for name, value in weights.items():
            check_number(name, value)
        check_number("equal_objects", equal_objects, "[0, 1]")
        check("dice_weight, bce_weight", (dice_weight, bce_weight), dice_weight + bce_weight > 0, "one above 0")
        self.dice_weight, self.bce_weight = float(dice_weight), float(bce_weight)
        self.map_weights = (1.0, float(object_weight), float(core_weight))
        self.positive_weights = (float(positive_weight), float(object_positive_weight), 1.0)
        self.seam_weight, self.equal_objects = float(seam_weight), float(equal_objects)
        self.dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0, ignore_index=IGNORE)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of logits [B, 1 to 3, H, W]; target alike: proximity map, MC mask, MC cores; 2 is ignored."""
        _require_same_shape(logits, target)
        maps = logits.shape[1]
        if maps > len(self.map_weights):
            raise ValueError(f"logits: got {maps} maps; want 1 (proximity), 2 (and the MC mask) or 3 (and cores)")
        logits, target = logits.float(), target.float()
        loss = logits.new_zeros(())
        for channel in range(maps):
            one = slice(channel, channel + 1)
            term = self.dice_weight * self.dice(logits[:, one], target[:, one])
            if self.bce_weight:
                of_mcs = (self.seam_weight, self.equal_objects) if channel == 1 else ()
                weights = self.positive_weights[channel], *of_mcs
                term = term + self.bce_weight * _cross_entropy(logits[:, one], target[:, one], *weights)
            loss = loss + self.map_weights[channel] * term
        return loss


def _cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    positive_weight: float,
    seam_weight: float = 1.0,
    equal_objects: float = 0.0,
) -> torch.Tensor:
    counted, factor = target != IGNORE, torch.tensor(positive_weight, device=logits.device)
    wanted, weight = torch.where(counted, target, 0.0), counted.to(logits.dtype)
    if seam_weight != 1:
        weight = torch.where(seams(wanted) & counted, seam_weight, weight)
    if equal_objects:
        weight = weight * area_weights(wanted == 1, equal_objects)
    total = F.binary_cross_entropy_with_logits(logits, wanted, weight, pos_weight=factor, reduction="sum")
    return total / counted.sum().clamp(min=1)


def seams(mask: torch.Tensor) -> torch.Tensor:
    """Background that a closing by 3 x 3 pixels fills, bool; of a mask [B, 1, H, W] of 0 and 1."""
    around = F.max_pool2d(mask, 3, stride=1, padding=1)
    closed = 1 - F.max_pool2d(1 - around, 3, stride=1, padding=1)
    return (closed > 0) & (mask == 0)


def area_weights(mask: torch.Tensor, power: float) -> torch.Tensor:
    """Weights of pixels that fall with the area of their object to the ``power``; 1 on average over all objects.

    Objects are the 8-connected parts of a bool mask [B, 1, H, W]; the background has weight 1. Float32 as the mask.
    """
    weights = np.ones(mask.shape, np.float32)
    areas = weights.copy()
    for image, own in zip(mask[:, 0].cpu().numpy(), areas[:, 0], strict=True):
        labels, _ = label_objects(image)
        own[image] = np.bincount(labels.ravel())[labels[image]]
    is_mc = mask.cpu().numpy()
    if is_mc.any():
        lowered = areas[is_mc] ** -power
        weights[is_mc] = lowered / lowered.mean()
    return torch.from_numpy(weights).to(mask.device)


def _require_same_shape(logits: torch.Tensor, target: torch.Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(f"target: got shape {tuple(target.shape)}; want that of the logits, {tuple(logits.shape)}")
