"""Reading mammograms and labels, and where the breast is. Images are tensors [1, rows, cols]."""

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from scripts.candidates.breast_mask import BreastRegion
from scripts.common.checks import check
from scripts.common.tensors import Data, plane, spacing_of
from scripts.data.labels.annotations import load_label
from scripts.data.reader.errors import PathLike, check_file
from scripts.data.reader.isolation import read
from scripts.data.reader.mammogram_reader import AS_SHOWN, Metadata, Reading


class LoadMammogramd(MapTransform):
    """Replace paths by mammograms: MetaTensor [1, rows, cols], float32 in [0, 1], MCs bright.

    A folder that holds one file stands for it: so MONAI Label hands over a series of an archive. A mammogram that is
    read already (MetaTensor with the reader's metadata) stays as it is; another array, whose grey values and pixel
    spacing nobody knows, is a ValueError. MONAI's `LoadImaged` would try other readers on a file that ours refuses.
    """

    def __init__(self, keys: KeysCollection = "image", reading: Reading = AS_SHOWN) -> None:
        super().__init__(keys)
        self.reading = reading

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Read every path."""
        item = dict(data)
        for key in self.keys:
            if isinstance(item[key], MetaTensor) and "spacing_mm" in item[key].meta:
                continue
            path = isinstance(item[key], str | os.PathLike)
            check(str(key), type(item[key]).__name__, path, "a path, or a mammogram with this bundle's metadata")
            array, meta = read(_file_of(item[key]), self.reading)
            item[key] = MetaTensor(torch.from_numpy(array)[None], meta=meta)
        return item


def _file_of(path: PathLike) -> PathLike:
    """The only file in a folder (else MammogramReadError); any other path as it is."""
    if not isinstance(path, str | Path) or not Path(path).is_dir():
        return path
    files = sorted(Path(path).iterdir())
    check_file(path, len(files) == 1, f"a folder of {len(files)} files", "one file")
    return files[0]


class MammogramReader(ImageReader):
    """`scripts.data.reader.isolation.read` as a MONAI reader (`LoadImaged(reader=..., ...)`).

    Unlike MONAI's own readers it returns rows first; meta["affine"] accounts for that, so physical geometry stays
    right. The file is read in `get_data`: when `read` fails, MONAI tries its other readers, and those would accept
    what is refused here. A misspelt argument is an error rather than ignored.
    """

    def __init__(self, reading: Reading = AS_SHOWN, **kwargs: Any) -> None:
        super().__init__()
        if kwargs:  # no TypeError: MONAI would answer that by dropping all arguments
            raise ValueError(f"MammogramReader: got unknown arguments {sorted(kwargs)}; want reading")
        check("reading", reading, isinstance(reading, Reading), "a Reading")
        self.reading = reading

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Always True: contents decide, not names."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[PathLike, ...]:
        """The path as a tuple; nothing is opened yet."""
        return ensure_tuple(data)

    def get_data(self, img: Sequence[PathLike] | PathLike) -> tuple[np.ndarray, Metadata]:
        """The mammogram of what `read` returned; several files for one image are a MammogramReadError."""
        paths = ensure_tuple(img)
        check_file(str(paths), len(paths) == 1, f"{len(paths)} files for one image", "one file")
        return read(paths[0], self.reading)


class LoadLabeld(MapTransform):
    """Replace label references (mask file, INbreast XML, points) by uint8 [1, rows, cols] {0, 1, 2 = ignore}.

    The loaded `image` gives shape and spacing.

    Args:
        keys: keys of label references; "" or a missing key is an image without findings.
        contour: how INbreast contours are drawn, "spline" or "polygon" (scripts/data/labels/annotations.py).
    """

    def __init__(self, keys: KeysCollection, contour: str = "spline") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.contour = contour

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Load every label."""
        item, image = dict(data), data["image"]
        shape, annotation = tuple(image.shape[-2:]), item.get("annotation", "full")
        for key in self.keys:
            label = load_label(item.get(key, ""), shape, spacing_of(image), annotation, self.contour)
            item[key] = torch.from_numpy(label)[None]
        return item


class BreastMaskd(MapTransform):
    """Add `breast` and `breast_inner` (eroded), bool masks [1, rows, cols], of the image.

    An image without a breast, or with one that the erosion leaves nothing of, is a ValueError: "nothing found" in it
    would say nothing.
    """

    def __init__(self, keys: KeysCollection = "image", region: BreastRegion | None = None) -> None:
        super().__init__(keys)
        self.region = region or BreastRegion()

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Compute both masks."""
        image = data[self.first_key(data)]
        breast, inner = map(torch.from_numpy, self.region.masks(plane(image), spacing_of(image)[0]))
        if not inner.any():
            got = "no breast" if not breast.any() else "a breast so narrow that its erosion leaves nothing"
            raise ValueError(f"{image.meta.get('filename_or_obj', 'image')}: got {got} in it; want a mammogram")
        return dict(data) | {"breast": breast[None], "breast_inner": inner[None]}
