import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from torch import nn

from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tiles import Tiles
from scripts.networks.fpn import FPN
from scripts.networks.slim_fcn import SlimFCN


def inferer_of(precision="float32", outside_logit=-20.0, **tiles):
    return TileInferer(
        Tiles(**{"tile_px": 512, "batch_size": 4, "crop": False} | tiles), precision, True, outside_logit
    )


class StridedNetwork(nn.Module):
    """Two halvings and back: stride 4; convolutions and interpolation reach less than 16 px."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.Conv2d(3, 3, 3, stride=2, padding=1))
        self.up = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
        self.head = nn.Conv2d(3, 1, 1)
        self.shapes = []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        rows, cols = x.shape[2:]
        x = nn.functional.pad(x, [0, -cols % 4, 0, -rows % 4], mode="replicate")
        return self.head(self.up(self.down(x)))[:, :, :rows, :cols]


@pytest.fixture
def images():
    return torch.rand(2, 1, 141, 118, generator=torch.Generator().manual_seed(0))


def breast_image(rows=200, cols=160):
    """A bright half disc at the left border with texture, on air."""
    y, x = np.mgrid[:rows, :cols]
    inside = np.hypot(y - rows / 2, x) < 0.4 * rows
    return torch.from_numpy(np.where(inside, np.random.default_rng(0).uniform(0.5, 0.7, inside.shape), 0)).float()


# ------------------------------------------------------------------ the partition


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 700), st.integers(1, 12), st.integers(0, 60), st.sampled_from([1, 4, 8, 32]))
def test_cores_partition_the_axis(size, tiles, margin, align):
    tile = tiles * align
    assume((tile - 2 * margin) // align > 0)
    spans = Tiles(tile, margin, align).spans(size)
    kept = np.concatenate([np.arange(span.core_start, span.core_stop) for span in spans])
    np.testing.assert_array_equal(kept, np.arange(size))
    for span in spans:
        assert span.start % align == 0
        assert 0 <= span.start < span.stop <= size
        assert span.stop - span.start <= tile
        assert span.core_start < span.core_stop
        assert span.start == span.core_start == 0 or span.core_start - span.start >= margin
        assert span.stop == span.core_stop == size or span.stop - span.core_stop >= margin
    assert all(span.stop - span.start == tile for span in spans[:-1])
    assert len(spans) == 1 or spans[-1].stop - spans[-1].start > tile - align


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(4, 40), st.integers(0, 30), st.sampled_from([1, 4, 32]))
def test_bands_hold_every_pixel_of_the_breast_once(data, steps, margin, align):
    tile = steps * align
    assume((tile - 2 * margin) // align > 0)
    shape = data.draw(st.tuples(st.integers(1, 600), st.integers(1, 90)))
    first, last = sorted(data.draw(st.tuples(*2 * [st.integers(0, shape[0] - 1)])))
    breast = np.zeros((1, *shape), bool)
    breast[0, first : last + 1, : data.draw(st.integers(1, shape[1]))] = True
    kept = np.zeros(shape, int)
    bands = [tile for batch in Tiles(tile, margin, align, bands=True).batches(1, shape, breast) for tile in batch]
    for _, rows, cols in bands:
        kept[rows.core, cols.core] += 1
        assert rows.start % align == 0 and rows.stop - rows.start <= tile
        assert rows.start == 0 or rows.core_start - rows.start >= margin
        assert rows.stop == shape[0] or rows.stop - rows.core_stop >= margin
        assert rows.stop % align == 0 or rows.stop == shape[0]
    np.testing.assert_array_equal(kept, breast[0])
    least = -(-(last + 1 - first) // (tile - 2 * margin)) if tile < last + 1 - first else 1
    assert len(bands) <= least + 1 + 2 * margin // (tile - 2 * margin)


def test_bands_are_alike_high_and_as_wide_as_the_breast():
    breast = np.zeros((1, 3000, 2000), bool)
    breast[0, 200:2600, :900] = True
    breast[0, 1200:1500, :1500] = True
    tiles = [tile for batch in Tiles(1024, 128, bands=True).batches(1, (3000, 2000), breast) for tile in batch]
    assert sorted(tile.rows[:2] for tile in tiles) == [(64, 960), (704, 1600), (1344, 2240), (1856, 2752)]
    assert sorted(tile.cols.stop for tile in tiles) == [1152, 1152, 1664, 1664]


def test_spans_of_the_paper():
    spans = Tiles(tile_px=512, margin_px=128, align_px=32).spans(2560)
    assert spans[0] == (0, 512, 0, 384)
    assert spans[1] == (256, 768, 384, 640)
    assert spans[-1] == (2048, 2560, 2176, 2560)
    assert len(spans) == 9


# ------------------------------------------------------------------ tiled = whole


def test_slim_fcn_tiled_equals_whole_image(images):
    torch.manual_seed(0)
    network = SlimFCN(widths=(4, 8, 8, 8, 8)).eval()
    inferer = inferer_of(tile_px=80, margin_px=22, align_px=1, batch_size=3, breast_only=False)
    with torch.no_grad():
        whole = network(images)
    spread = whole.std().item()
    assert (inferer(images, network) - whole).abs().max().item() < 1e-5 * max(spread, 1)
    short = inferer_of(tile_px=80, margin_px=8, align_px=1, breast_only=False)(images, network)
    assert (short - whole).abs().max().item() > 1e-4 * spread  # a margin below the receptive field shows


@pytest.mark.parametrize("size", [(141, 118), (64, 64), (65, 31), (20, 200), (1, 1)])
def test_strided_network_tiled_equals_whole_image(size):
    network = StridedNetwork().eval()
    images = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(images)
    tiled = inferer_of(tile_px=64, margin_px=16, align_px=4, breast_only=False)(images, network)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)


def test_tiles_off_the_stride_would_show(images):
    network = StridedNetwork().eval()
    with torch.no_grad():
        whole = network(images)
    tiled = inferer_of(tile_px=65, margin_px=16, align_px=1, breast_only=False)(images, network)
    assert (tiled - whole).abs().max() > 1e-3


def fpn_image(size):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 40, 40, generator=generator)
    tissue = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return (tissue + 0.05 * torch.rand(1, 1, size, size, generator=generator)).clamp(0, 1)


def small_fpn(align_corners):
    torch.manual_seed(0)
    return FPN("residual", detail_channels=8, align_corners=align_corners).eval()


def test_the_shipped_network_has_no_visible_seams(root):
    """GroupNorm looks at the whole tile, so values shift a little; no step may stand out at the tiles' borders.

    Half of the default tile and margin. (In tiles of 256 px the shifts show: 1.5 times the steps elsewhere.)
    """
    network = FPN(
        "residual",
        out_channels=3,
        pyramid_channels=128,
        segmentation_channels=64,
        detail_channels=16,
        align_corners=False,
    ).eval()
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    image, side = fpn_image(1024), 1024

    def seams(margin_px):
        """Median step across the inner tile borders over the median step elsewhere, of each map."""
        logits = inferer_of(tile_px=512, margin_px=margin_px, breast_only=False)(image, network)[0]
        borders = [span.core_start - 1 for span in Tiles(512, margin_px, 32).spans(side)[1:]]
        others = np.setdiff1d(np.arange(side - 1), borders)
        for one in logits:
            steps = [(plane[1:] - plane[:-1]).abs() for plane in (one, one.T)]
            yield max((step[borders].median() / step[others].median()).item() for step in steps)

    with_margin, without = list(seams(64)), list(seams(0))
    assert max(with_margin) < 1.25 and min(without) > 2


def test_the_papers_fpn_tiled_is_close_to_the_whole_image_and_closer_on_the_pixel_grid():
    image = fpn_image(480)
    deviation = {}
    for align_corners in (True, False):
        torch.manual_seed(0)
        network = FPN("inception_v4", detail_channels=8, align_corners=align_corners).eval()
        tiled = inferer_of(tile_px=256, margin_px=64, breast_only=False)(image, network)
        with torch.no_grad():
            whole = network(image)
        deviation[align_corners] = ((tiled - whole).abs().mean() / whole.std()).item()
    assert deviation[True] < 0.1
    assert deviation[False] < 0.5 * deviation[True]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_fpn_computes_its_full_resolution_path_where_it_is_kept_and_changes_nothing(batch_size):
    network, image, seen = small_fpn(False), fpn_image(352), []
    breast = torch.zeros(1, 1, 352, 352, dtype=torch.bool)
    breast[..., 40:250, :170] = True
    inferer = inferer_of(tile_px=192, margin_px=32, batch_size=batch_size)
    network.detail.register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    whole = inferer(image, lambda x: network(x), breast=breast)
    all_of_it = sum(seen)
    seen.clear()
    torch.testing.assert_close(inferer(image, network, breast=breast), whole, rtol=0, atol=1e-5)
    assert sum(seen) < all_of_it


# ------------------------------------------------------------------ breast only


def test_breast_only_computes_less_and_gives_the_same_inside():
    image = breast_image()[None, None]
    counting, all_of_it = StridedNetwork().eval(), StridedNetwork().eval()
    arguments = {"tile_px": 64, "margin_px": 16, "align_px": 4}
    part = inferer_of(**arguments, outside_logit=-7.0)(image, counting)
    whole = inferer_of(**arguments, breast_only=False)(image, all_of_it)
    kept = part != -7.0
    assert kept[0, 0, 100, 20] and kept[0, 0, 60, 5]
    assert not kept[0, 0, 100, 150] and not kept[0, 0, 3, 3]
    torch.testing.assert_close(part[kept], whole[kept], rtol=0, atol=1e-6)
    assert sum(shape[0] for shape in counting.shapes) < sum(shape[0] for shape in all_of_it.shapes)


@pytest.mark.parametrize("bands", [False, True])
def test_cropped_tiles_of_a_strided_network_compute_less_and_give_the_same(bands):
    network, image = StridedNetwork(), breast_image(900, 700)[None, None]
    arguments = {"tile_px": 512, "margin_px": 16, "align_px": 4}
    wanted = inferer_of(**arguments)(image, network)
    plain = sum(np.prod(shape) for shape in network.shapes)
    network.shapes.clear()
    found = inferer_of(**arguments, crop=True, bands=bands)(image, network)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert sum(np.prod(shape) for shape in network.shapes) < 0.8 * plain
    assert all(side % 4 == 0 for shape in network.shapes for side in shape[2:])


def test_output_does_not_depend_on_the_tiles_outside_the_breast():
    image, network = breast_image()[None, None], StridedNetwork().eval()
    small = inferer_of(tile_px=64, margin_px=16, align_px=4)(image, network)
    large = inferer_of(tile_px=512, margin_px=16, align_px=4)(image, network)
    torch.testing.assert_close(small, large, rtol=0, atol=1e-6)


def test_image_without_breast_is_outside_everywhere():
    network = StridedNetwork()
    logits = inferer_of()(torch.zeros(1, 1, 50, 60), network)
    assert logits.shape == (1, 1, 50, 60)
    assert (logits == -20.0).all()
    assert network.shapes == [(1, 1, 50, 60)]  # one small tile, only to learn the number of maps
    two = inferer_of()(torch.zeros(1, 1, 500, 600), lambda x: torch.cat([x, x], dim=1))
    assert two.shape == (1, 2, 500, 600) and (two == -20.0).all()


# ------------------------------------------------------------------ the rest of the contract


def test_batches_are_bounded_and_of_one_shape(images):
    network = StridedNetwork().eval()
    inferer_of(tile_px=64, margin_px=16, align_px=4, batch_size=3, breast_only=False, bands=False)(images, network)
    assert max(shape[0] for shape in network.shapes) == 3
    assert max(max(shape[2:]) for shape in network.shapes) <= 64


def test_metadata_is_kept_and_gradients_are_not(images):
    tagged = MetaTensor(images, meta={"patient_id": "p1"}).requires_grad_()
    logits = inferer_of(tile_px=64, margin_px=16, align_px=4, breast_only=False)(tagged, StridedNetwork())
    assert isinstance(logits, MetaTensor)
    assert logits.meta["patient_id"] == "p1"
    assert not logits.requires_grad


def test_arguments_reach_the_network_and_all_channels_come_back(images):
    def network(x, offset, scale):
        return torch.cat([x + offset, x * scale], dim=1)

    logits = inferer_of(tile_px=64, margin_px=16, breast_only=False)(images, network, 2.0, scale=3.0)
    torch.testing.assert_close(logits, torch.cat([images + 2, images * 3], dim=1))


def test_bfloat16_gives_float32_logits_close_to_full_precision(images):
    network = StridedNetwork().eval()
    arguments = {"tile_px": 64, "margin_px": 16, "align_px": 4, "breast_only": False}
    full = inferer_of(**arguments)(images, network)
    mixed = inferer_of(**arguments, precision="bfloat16")(images, network)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, full)
    torch.testing.assert_close(mixed, full, rtol=0, atol=0.02)


@pytest.mark.gpu
def test_cuda_equals_cpu(images):
    network = StridedNetwork().eval()
    inferer = inferer_of(tile_px=64, margin_px=16, align_px=4, breast_only=False)
    on_cpu = inferer(images, network)
    on_gpu = inferer(images.cuda(), network.cuda())
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=2e-3)


def test_network_that_changes_the_size_is_refused(images):
    with pytest.raises(ValueError, match="want the same size"):
        inferer_of(breast_only=False)(images, lambda x: x[:, :, ::2, ::2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin_px": 256}, "margin_px: got 256; want what leaves of tile_px = 512 a core of at least 32 px"),
        ({"margin_px": -1}, "margin_px: got -1"),
        ({"tile_px": 500}, "tile_px: got 500; want a multiple of align_px = 32"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"precision": "int4"}, "precision: got 'int4'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        inferer_of(**arguments)


def test_inputs_must_be_a_batch(images):
    with pytest.raises(ValueError, match=r"want \[B, 1, H, W\]"):
        inferer_of()(images[0], StridedNetwork())
