"""The thin MONAI classes that the configs name: each unpacks a dictionary and calls one pure function.

Images are tensors [1, rows, cols]; `image` carries the reader's metadata (see scripts/data/reader/mammogram_reader.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.candidates.hdog import HDoGParameters, hdog
from scripts.common.objects import measure_objects
from scripts.common.tensors import length_factor, plane, spacing_of
from scripts.data.labels.annotations import load_label
from scripts.data.reader.geometry import to_file_axes
from scripts.data.reader.mammogram_reader import AS_SHOWN, MammogramReader, Reading
from scripts.findings.combining import combine, keep_objects, threshold_objects
from scripts.findings.peaks import peak_objects
from scripts.outputs.report import build_report

Data = dict[Hashable, Any]
#: Where HDoGReg's objects come from, and which of the network's maps scores them.
OBJECT_SOURCES = {"candidates": 0, "scored": 1, "map": 1}


class LoadMammogramd(MapTransform):
    """Replace paths by mammograms: MetaTensor [1, rows, cols], float32 in [0, 1], MCs bright.

    Only `MammogramReader` is used: `LoadImaged` would try other readers on a file that this one refuses.

    Args:
        keys: keys of paths.
        reading: see `scripts.data.reader.mammogram_reader.Reading`.
    """

    def __init__(self, keys: KeysCollection = "image", reading: Reading = AS_SHOWN) -> None:
        super().__init__(keys)
        self.reader = MammogramReader(reading)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Read every path."""
        item = dict(data)
        for key in self.keys:
            array, meta = self.reader.get_data(self.reader.read(item[key]))
            item[key] = MetaTensor(torch.from_numpy(array)[None], meta=meta)
        return item


class LoadLabeld(MapTransform):
    """Replace label references (mask file, INbreast XML, points) by uint8 [1, rows, cols] {0, 1, 2 = ignore}.

    Args:
        keys: keys of label references; "" or a missing key is an image without findings.
        image_key: key of the loaded image, which gives shape and spacing.
        contour: how INbreast contours are drawn, "spline" or "polygon" (scripts/data/labels/annotations.py).
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", contour: str = "spline") -> None:
        super().__init__(keys, allow_missing_keys=True)
        self.image_key, self.contour = image_key, contour

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Load every label."""
        item, image = dict(data), data[self.image_key]
        for key in self.keys:
            shape, annotation = tuple(image.shape[-2:]), item.get("annotation", "full")
            label = load_label(item.get(key, ""), shape, spacing_of(image), annotation, self.contour)
            item[key] = torch.from_numpy(label)[None]
        return item


class BreastMaskd(MapTransform):
    """Add the breast mask and the eroded one, bool [1, rows, cols].

    Args:
        keys: the image.
        erosion_px: side of the square that erodes the mask, odd, px at `reference_spacing_mm`.
        reference_spacing_mm: pixel size that lengths are given at; 0 takes them as px of the image.
        breast_key: where the breast mask goes.
        inner_key: where the eroded mask goes.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        erosion_px: int = 45,
        reference_spacing_mm: float = 0.07,
        breast_key: str = "breast",
        inner_key: str = "breast_inner",
    ) -> None:
        super().__init__(keys)
        self.erosion_px, self.reference_spacing_mm = erosion_px, reference_spacing_mm
        self.breast_key, self.inner_key = breast_key, inner_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Compute both masks."""
        item = dict(data)
        image = plane(item[self.first_key(item)])
        factor = length_factor(item[self.first_key(item)], self.reference_spacing_mm)
        mask = breast_mask(image, spacing_of(item[self.first_key(item)])[0])
        item[self.breast_key] = torch.from_numpy(mask)[None]
        side = 2 * round(self.erosion_px // 2 * factor) + 1
        item[self.inner_key] = torch.from_numpy(erode_breast(mask, side))[None]
        return item


class HDoGCandidatesd(MapTransform):
    """Add the HDoG candidate mask, bool [1, rows, cols].

    Args:
        keys: the image, [0, 1].
        sigma_min_px, sigma_max_px: scale range, px at `reference_spacing_mm`.
        sigma_ratio: k between neighbouring scales.
        dog_threshold: T_DoG.
        blob_overlap: O_DoG; 1 disables pruning.
        hessian_threshold: h_thr.
        reference_spacing_mm: pixel size that lengths are given at; 0 takes them as px of the image.
        within_key: mask that candidates are restricted to, or None.
        output_key: where the candidates go.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        sigma_min_px: float = 1.18,
        sigma_max_px: float = 3.1,
        sigma_ratio: float = 1.6,
        dog_threshold: float = 0.006,
        blob_overlap: float = 1.0,
        hessian_threshold: float = 1.4,
        reference_spacing_mm: float = 0.07,
        within_key: str | None = "breast_inner",
        output_key: str = "candidates",
    ) -> None:
        super().__init__(keys)
        self.parameters = HDoGParameters(
            sigma_min_px=sigma_min_px,
            sigma_max_px=sigma_max_px,
            sigma_ratio=sigma_ratio,
            dog_threshold=dog_threshold,
            blob_overlap=blob_overlap,
            hessian_threshold=hessian_threshold,
            reference_spacing_mm=reference_spacing_mm,
        )
        self.within_key, self.output_key = within_key, output_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Find the candidates."""
        item = dict(data)
        image = item[self.first_key(item)]
        within = None if self.within_key is None else plane(item[self.within_key])
        parameters = self.parameters.at(spacing_of(image)[0])
        item[self.output_key] = torch.from_numpy(hdog(plane(image), parameters, within).mask)[None]
        return item


class CombineCandidatesd(MapTransform):
    """HDoGReg's last step: `pred` turns from the network's maps into the label mask of the objects that they support.

    Args:
        keys: the maps [1 or 2, rows, cols], [0, 1]: proximity and, for two, the MC mask; replaced by a uint8 mask.
        proximity_threshold, overlap_fraction: p_thr (of the map that scores), o_thr.
        objects_from: "candidates" keeps whole HDoG candidates scored by the proximity map (the paper), "scored"
            scores them by the second map, "map" takes the objects of the second map itself (`peak_objects`).
        map_floor, map_share, map_prominence: of `peak_objects`. candidates_key, within_key: bool masks.
        instances_key, scores_key, map_key: where the numbered objects, their scores and the scoring map go.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        proximity_threshold: float,
        overlap_fraction: float,
        objects_from: str = "candidates",
        map_floor: float = 0.002,
        map_share: float = 0.5,
        map_prominence: float = 0.3,
        candidates_key: str = "candidates",
        within_key: str | None = "breast_inner",
        instances_key: str = "instances",
        scores_key: str = "scores",
        map_key: str = "map",
    ) -> None:
        super().__init__(keys)
        if objects_from not in OBJECT_SOURCES:
            raise ValueError(f"objects_from: got {objects_from!r}, want one of {', '.join(OBJECT_SOURCES)}")
        self.proximity_threshold, self.overlap_fraction = proximity_threshold, overlap_fraction
        self.objects_from = objects_from
        self.peaks = {"floor": map_floor, "share": map_share, "prominence": map_prominence}
        self.candidates_key, self.within_key = candidates_key, within_key
        self.instances_key, self.scores_key, self.map_key = instances_key, scores_key, map_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Combine candidates and maps."""
        item = dict(data)
        key = self.first_key(item)
        maps, place = item[key], OBJECT_SOURCES[self.objects_from]
        if len(maps) <= place:
            raise ValueError(f"objects_from: {self.objects_from!r} needs a network of two maps, got {len(maps)}")
        item[key] = maps[place : place + 1]
        scoring, within = plane(item[key]), None if self.within_key is None else plane(item[self.within_key])
        if self.objects_from == "map":
            found = peak_objects(scoring, within=within, lowest=self.proximity_threshold, **self.peaks)
            labels, scores = keep_objects(*found, threshold=self.proximity_threshold)
        else:
            labels, scores = combine(
                plane(item[self.candidates_key]),
                scoring,
                proximity_threshold=self.proximity_threshold,
                overlap_fraction=self.overlap_fraction,
                within=within,
            )
        return _put_objects(self, item, key, labels, scores)


class ThresholdObjectsd(MapTransform):
    """Slim FCN's last step: `pred` turns from the probability map into the mask of its objects.

    Args:
        keys: the probability map [1, rows, cols]; replaced by a uint8 mask.
        probability_threshold: in [0, 1], of the scores.
        objects_from: "threshold" takes the components of {probability >= threshold} (the paper), "map" the objects
            around the map's peaks (`peak_objects`).
        map_floor, map_share, map_prominence: of `peak_objects`.
        within_key: mask that objects are restricted to, or None.
        instances_key, scores_key, map_key: where the numbered objects, their scores and the map go.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        probability_threshold: float,
        objects_from: str = "threshold",
        map_floor: float = 0.002,
        map_share: float = 0.5,
        map_prominence: float = 0.3,
        within_key: str | None = "breast_inner",
        instances_key: str = "instances",
        scores_key: str = "scores",
        map_key: str = "map",
    ) -> None:
        super().__init__(keys)
        if objects_from not in ("threshold", "map"):
            raise ValueError(f"objects_from: got {objects_from!r}, want threshold or map")
        self.probability_threshold, self.within_key, self.objects_from = probability_threshold, within_key, objects_from
        self.peaks = {"floor": map_floor, "share": map_share, "prominence": map_prominence}
        self.instances_key, self.scores_key, self.map_key = instances_key, scores_key, map_key

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Find the objects."""
        item = dict(data)
        key = self.first_key(item)
        threshold, values = self.probability_threshold, plane(item[key])
        within = None if self.within_key is None else plane(item[self.within_key])
        if self.objects_from == "map":
            found = peak_objects(values, within=within, lowest=threshold, **self.peaks)
            labels, scores = keep_objects(*found, threshold=threshold)
        else:
            labels, scores = threshold_objects(values, probability_threshold=threshold, within=within)
        return _put_objects(self, item, key, labels, scores)


class MeasureFindingsd(MapTransform):
    """Add `findings` (measured MCs) and the `report`, and number `instances` and `scores` by the ids of the findings.

    Args:
        keys: the numbered objects.
        image_key, scores_key, breast_key: what the chain before left.
        method: name of the method in the report.
        operating_point: thresholds in force, for the report.
    """

    def __init__(
        self,
        keys: KeysCollection = "instances",
        image_key: str = "image",
        scores_key: str = "scores",
        breast_key: str = "breast",
        method: str = "HDoGReg",
        operating_point: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(keys)
        self.image_key, self.scores_key, self.breast_key = image_key, scores_key, breast_key
        self.method, self.operating_point = method, operating_point or {}

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Measure the objects."""
        item, image = dict(data), data[self.image_key]
        key = self.first_key(item)
        labels, scores = plane(item[key]).astype(np.int32), np.asarray(item[self.scores_key])
        item["findings"] = measure_objects(labels, scores, spacing_of(image))
        present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1
        new_number = np.zeros(max(labels.max(initial=0), 0) + 1, np.int32)
        new_number[present] = np.arange(1, present.size + 1)
        item[key] = torch.from_numpy(new_number[labels])[None]
        item[self.scores_key] = np.concatenate([[0], scores[present]])
        item["report"] = build_report(
            item["findings"], image, plane(item[self.breast_key]), self.method, self.operating_point
        )
        return item


class RestoreFileGeometryd(MapTransform):
    """Bring masks back to the axes, rank, orientation and affine of the input file (columns first, as MONAI writes).

    Args:
        keys: masks [1, rows, cols].
        image_key: the image whose metadata says how the file was laid out.
        dtype: NumPy dtype of the result.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", dtype: str = "uint8") -> None:
        super().__init__(keys)
        self.image_key, self.dtype = image_key, np.dtype(dtype)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Restore every mask."""
        item, meta = dict(data), data[self.image_key].meta
        for key in self.keys:
            restored = to_file_axes(plane(item[key]).astype(self.dtype), meta)
            affine = torch.as_tensor(np.asarray(meta["file_affine"], dtype=np.float64))
            kept = {name: value for name, value in meta.items() if name not in ("affine", "spatial_shape", "space")}
            item[key] = MetaTensor(torch.from_numpy(np.ascontiguousarray(restored))[None], affine=affine, meta=kept)
        return item


def _put_objects(transform: Any, item: Data, key: Hashable, labels: np.ndarray, scores: np.ndarray) -> Data:
    item[transform.map_key] = item[key]
    item[transform.instances_key] = torch.from_numpy(labels)[None]
    item[transform.scores_key] = scores
    item[key] = torch.from_numpy((labels > 0).astype(np.uint8))[None]
    return item
