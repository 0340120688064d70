"""Mirror averaging against hand-made networks."""

import pytest
import torch

from scripts.inference.averaging import MirrorAverage


def test_a_pointwise_network_is_left_unchanged():
    images = torch.rand(2, 1, 5, 7)
    for copies in (1, 2, 4):
        torch.testing.assert_close(MirrorAverage(lambda x: 3 * x - 1, copies)(images), 3 * images - 1)


def test_a_shift_becomes_the_mean_of_both_directions():
    images = torch.rand(1, 1, 4, 6)
    shifted = MirrorAverage(lambda x: x.roll(1, dims=3), 2)(images)
    torch.testing.assert_close(shifted, (images.roll(1, 3) + images.roll(-1, 3)) / 2)
    both = MirrorAverage(lambda x: x.roll((1, 1), dims=(2, 3)), 4)(images)
    corners = [images.roll((r, c), (2, 3)) for r in (-1, 1) for c in (-1, 1)]
    torch.testing.assert_close(both, sum(corners) / 4)


def test_other_numbers_are_refused():
    with pytest.raises(ValueError, match="copies: got 3"):
        MirrorAverage(lambda x: x, 3)
