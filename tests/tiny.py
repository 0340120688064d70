"""Options of the bundle's commands that keep a training small."""

PHANTOMS = {
    "source::training": 3,
    "source::validation": 1,
    "source::testing": 1,
    "source::seed": 5,
    "source::shape": [416, 320],
    "source::empty_fraction": 0.0,
    "source::workers": 0,
}
PATCHES = {"patches::patch_px": 96, "patches::stride_px": 96, "warp::crop_px": 64}
