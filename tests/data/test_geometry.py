"""Display order: reading and writing back are inverse, and physical points stay where they are."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scripts.data.reader.geometry import display_axes, from_file_axes, plain_affine, rows_first_affine, to_file_axes

sizes = st.integers(1, 6)
flips = st.tuples(st.booleans(), st.booleans())
orders = st.sampled_from([(1, 0), (0, 1)])


@given(shape=st.tuples(sizes, sizes), tail=st.sampled_from([(), (1,), (1, 1)]), axes=orders, flipped=flips)
def test_to_file_axes_is_the_inverse_of_reading(shape, tail, axes, flipped):
    plane = np.arange(shape[0] * shape[1]).reshape(shape)
    shown = from_file_axes(plane, axes, flipped)
    meta = {"file_shape": (*shape, *tail), "file_axes": axes, "file_flips": flipped}
    np.testing.assert_array_equal(to_file_axes(shown, meta), plane.reshape(*shape, *tail))
    as_tensors = {key: [torch.tensor(value) for value in values] for key, values in meta.items()}  # after a data loader
    np.testing.assert_array_equal(to_file_axes(shown, as_tensors), plane.reshape(*shape, *tail))


@given(shape=st.tuples(sizes, sizes), axes=orders, flipped=flips, seed=st.integers(0, 99))
def test_array_and_file_index_name_the_same_point(shape, axes, flipped, seed):
    affine = np.eye(4)
    affine[:3] = np.random.default_rng(seed).normal(size=(3, 4))
    plane = np.arange(shape[0] * shape[1]).reshape(shape)
    shown = from_file_axes(plane, axes, flipped)
    result = rows_first_affine(affine, shown.shape, axes, flipped)
    for r, c in np.ndindex(shown.shape):
        i, j = np.argwhere(plane == shown[r, c])[0]
        np.testing.assert_allclose(result @ [r, c, 0, 1], affine @ [i, j, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    "codes",
    ["".join(p) for a in ("RL", "AP", "SI") for b in ("RL", "AP", "SI") if a != b for p in itertools.product(a, b)],
)
def test_display_runs_to_left_posterior_inferior(codes):
    """Against nibabel: after reading, columns and rows point to L, P or I, the earlier patient axis along columns."""
    third = next(pair for pair in ("RL", "AP", "SI") if not set(pair) & set(codes))[0]
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt((*codes, third)), (5, 4, 1))
    found = display_axes(affine)
    assert found is not None
    axes, flipped = found
    shape = tuple((5, 4)[axis] for axis in axes)
    shown = nib.aff2axcodes(rows_first_affine(affine, shape, axes, flipped))
    assert set(shown[:2]) <= set("LPI")
    assert "RLAPSI".index(shown[1]) < "RLAPSI".index(shown[0])


def test_plain_affine_needs_no_flip():
    assert display_axes(plain_affine((0.07, 0.05))) == ((1, 0), (False, False))
    np.testing.assert_allclose(plain_affine((0.07, 0.05)) @ [1, 0, 0, 1], [-0.05, 0, 0, 1])  # one column to the left


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.diag([np.nan, 1, 1, 1])])
def test_degenerate_affines_are_left_alone(affine):
    assert display_axes(affine) is None


def test_oblique_planes_are_left_alone():
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    assert display_axes(turn) is None


def test_wrong_size_is_an_error():
    with pytest.raises(ValueError, match=r"got shape \(3, 4\); want \(4, 3\)"):
        to_file_axes(np.zeros((3, 4)), {"file_shape": (3, 4), "file_flips": (False, False)})
