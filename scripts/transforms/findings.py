"""From a network's output to scored objects and measured findings, and masks back in the geometry of the input file."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from scripts.common.checks import check_number
from scripts.common.tensors import Data, plane, spacing_of
from scripts.data.reader.geometry import display_axes, plain_affine, to_file_axes
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.any_threshold import TypedObjects, objects_of_any_score
from scripts.findings.components import ComponentObjects
from scripts.findings.forming import Objects, Scene, keep_objects
from scripts.outputs.report import build_report


class FormObjectsd(MapTransform):
    """`pred` turns from a network's logits into the mask of scored objects.

    Args:
        objects: how objects are formed (scripts/findings/forming.py).
        score_threshold: objects with a lower score are left out, [0, 1]; 0 keeps all (evaluation).
        keys: logits [maps, rows, cols]; replaced by a uint8 mask [1, rows, cols].
        within_key: bool mask [1, rows, cols] that objects are restricted to, or None.
        typed_from: objects from this score on are kept in `instances` until their kinds are known, as faint marks fill
            the gaps of a calcified artery; `MeasureFindingsd` drops them then. None keeps no fainter ones.

    Reads `image`, [1, rows, cols] in [0, 1]. The item also gets `instances` (int32 [1, rows, cols], numbered objects),
    `scores` (float32 (n + 1,), index = number) and `map` (float32 [1, rows, cols]). Where objects change with the
    threshold (`ComponentObjects`), a threshold of 0 leaves `thresholds` (descending) and `objects_at` (threshold ->
    labels, scores) besides.
    """

    def __init__(
        self,
        objects: Objects,
        score_threshold: float,
        keys: KeysCollection = "pred",
        within_key: str | None = "breast_inner",
        typed_from: float | None = None,
    ) -> None:
        super().__init__(keys)
        check_number("score_threshold", score_threshold, "[0, 1]")
        self.objects, self.score_threshold, self.within_key = objects, score_threshold, within_key
        changing = isinstance(objects, ComponentObjects)  # with the threshold
        self.lowest = score_threshold if typed_from is None or changing else min(typed_from, score_threshold)
        check_number("typed_from", self.lowest, "[0, 1]")

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Form the objects."""
        item, image = dict(data), data["image"]
        key = self.first_key(item)
        logits = torch.as_tensor(item[key]).detach().float().cpu().numpy()
        if not np.isfinite(logits).all():
            raise ValueError(f"{key}: got a map that holds NaN or infinity; want weights of a training that converged")
        within = None if self.within_key is None else plane(item[self.within_key])
        scene = Scene(plane(image), logits, within, spacing_of(image))
        labels, scores, probability = self.objects.form(scene, self.lowest)
        item["instances"], item["scores"] = torch.from_numpy(labels)[None], scores
        item["score_threshold"] = self.score_threshold
        item["map"] = torch.from_numpy(np.ascontiguousarray(probability))[None]
        item[key] = torch.from_numpy((keep_objects(labels, scores, self.score_threshold) > 0).astype(np.uint8))[None]
        if isinstance(self.objects, ComponentObjects) and self.score_threshold == 0:
            item["thresholds"] = self.objects.thresholds
            item["objects_at"] = lambda threshold: self.objects.form(scene, threshold)[:2]
        return item


class MeasureFindingsd(MapTransform):
    """Measure objects, tell their kinds, find clusters: add `findings` (all marks) and the `report`.

    `instances` and `scores` are numbered by the ids of the findings, metal that came in parts as one object; `pred`, a
    mask [1, rows, cols], holds the counted marks only: those of no excluded kind. Reads `image` and `breast` besides.

    Args:
        keys: the numbered objects.
        method: its name in the report.
        operating_point: thresholds in force, for the report.
        analysis: what is made of the objects; None measures them only.
    """

    def __init__(
        self,
        keys: KeysCollection = "instances",
        method: str = "HDoGReg",
        operating_point: dict[str, Any] | None = None,
        analysis: FindingsAnalysis | None = None,
    ) -> None:
        super().__init__(keys)
        self.method, self.operating_point = method, operating_point or {}
        self.analysis = analysis or FindingsAnalysis(None, None, None, None, None)

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Measure the objects."""
        item, image = dict(data), data["image"]
        key, breast, side = self.first_key(item), plane(item["breast"]), str(image.meta.get("laterality", ""))
        labels, scores = plane(item[key]).astype(np.int32), np.asarray(item["scores"])
        more: dict[str, Any] = {"side": side, "score_threshold": float(item.get("score_threshold", 0.0))}
        found = self.analysis.analyse(plane(image), labels, scores, breast, spacing_of(image), **more)
        item[key], item["scores"] = torch.from_numpy(found.labels)[None], found.scores
        item["pred"] = torch.from_numpy(found.mask.astype(np.uint8))[None]
        item["findings"], item["analysis"] = found.marks, found
        item["report"] = build_report(found, image, breast, self.method, self.operating_point)
        return item


class AnalyseEveryObjectd(MapTransform):
    """Objects of every score turn into what the analysis makes of them, for an evaluation of all thresholds.

    Replaces `instances` and `scores`, adds `kinds` (int (n + 1,), by number: place in `KINDS`); `objects_at`, where
    there is one, gives labels, scores and kinds. Reads `image` and `breast`. See `objects_of_any_score`.

    Args:
        analysis: that of the product, without features and clusters.
        typed_from: as of `FormObjectsd` in the product.
        keys: the numbered objects.
    """

    def __init__(
        self, analysis: FindingsAnalysis, typed_from: float = 0.05, keys: KeysCollection = "instances"
    ) -> None:
        super().__init__(keys)
        check_number("typed_from", typed_from, "[0, 1]")
        self.analysis, self.typed_from = analysis, typed_from

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Analyse the objects."""
        item, image = dict(data), data["image"]
        key, breast, side = self.first_key(item), plane(item["breast"]), str(image.meta.get("laterality", ""))

        def made(labels: np.ndarray, scores: np.ndarray) -> TypedObjects:
            given = plane(image), labels, np.asarray(scores), breast, spacing_of(image)
            return objects_of_any_score(self.analysis, *given, self.typed_from, side)

        found = made(plane(item[key]).astype(np.int32), item["scores"])
        item[key], item["scores"], item["kinds"] = torch.from_numpy(found.labels)[None], found.scores, found.kinds
        if (objects_at := item.get("objects_at")) is not None:
            item["objects_at"] = lambda threshold: made(*objects_at(threshold))
        return item


class RestoreFileGeometryd(MapTransform):
    """Bring masks back to the axes and orientation of the input file (columns first, as MONAI and ITK write).

    Masks are [1, rows, cols]; the metadata of `image` says how the file was laid out. The result is a uint8 MetaTensor
    [1, X, Y, 1], one slice whatever rank the file has, with the affine that ITK (3D Slicer, MONAI Label) gives the
    file. `image` is left as it is, but told that shape (`spatial_shape`): MONAI Label resizes masks to it, and would
    take rows for X.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> Data:
        """Restore every mask."""
        item, image = dict(data), data["image"]
        meta = image.meta
        one_slice = (*(int(n) for n in meta["file_shape"][:2]), 1)
        kept = {name: value for name, value in meta.items() if name not in ("affine", "spatial_shape", "space")}
        affine = torch.from_numpy(viewer_affine(meta))
        for key in self.keys:
            restored = to_file_axes(plane(item[key]).astype(np.uint8), meta).reshape(one_slice)
            item[key] = MetaTensor(torch.from_numpy(restored)[None], affine=affine, meta=kept)
        item["image"] = MetaTensor(image.as_tensor(), meta={**meta, "spatial_shape": np.asarray(one_slice)})
        return item


def viewer_affine(meta: Mapping[str, Any]) -> np.ndarray:
    """Affine (4x4, RAS mm) at which ITK, and so a viewer, shows the file that `meta` came from.

    It is the file's own, but: a NIfTI without orientation code lies along LPS, one of two dimensions lies at z = 0, and
    a picture that states no pixel spacing has 1 mm, as has every PNG (ITK does not read its resolution).
    """
    file_affine = np.array(meta["file_affine"], dtype=np.float64)
    if meta["file_format"] == "nifti":
        as_read = tuple(map(int, meta["file_axes"])), tuple(map(bool, meta["file_flips"]))
        if display_axes(file_affine) in (None, as_read):
            if len(meta["file_shape"]) == 2:
                file_affine[2, 3] = 0.0
            return file_affine
        return plain_affine(np.linalg.norm(file_affine[:3, :2], axis=0)[::-1])
    if meta["file_format"] == "png" or meta["spacing_source"] == "default":
        return plain_affine((1.0, 1.0))
    return file_affine
