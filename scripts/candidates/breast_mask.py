"""Breast mask of a mammogram: where candidates may lie and which area "per cm^2" refers to.

Definition (HDoGReg, arXiv 2102.00754: 0.2 x Otsu, small objects and holes removed, largest bright component,
holes filled). It is evaluated on block means of about `GRID_MM`, not on single pixels: quantum noise then does
not fray the skin line, and 8 megapixels take some hundredths of a second. Against a mask from single pixels the
outline moves by at most about one block (4 px at 0.07 mm), far inside the 22 px that `erode_breast` takes off.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.common.checks import check, check_fields

OTSU_FRACTION = 0.2  # share of Otsu's threshold above which a block belongs to breast, label or frame (the paper)
GRID_MM = 0.28  # side of the blocks on which the mask is computed: 4 px of 0.07 mm
GAP_MM = 1.0  # radius of the closing that ties the strands of fatty tissue and the skin line together
FAT_MM = 2.0  # half width of the dark fat that is added
AIR_FRACTION = 0.02  # share of Otsu's threshold that fat is above air, at least
BRIDGE_MM = 4.0  # half width of what counts as thin: film frames, label strokes and their bridges to the breast


@dataclass(frozen=True)
class BreastRegion:
    """Where MCs are looked for."""

    #: Side of the square that erodes the breast mask, odd, px of `reference_spacing_mm`; 0: whole breast (paper: 45)
    erosion_px: int = 0
    reference_spacing_mm: float = 0.07  # pixel size that the side is given at; 0: px of every image
    dark_fat: bool = True  # see `breast_mask`; the paper's mask is without

    def __post_init__(self) -> None:
        check_fields(self)
        check("erosion_px", self.erosion_px, self.erosion_px % 2 or not self.erosion_px, "0, or an odd number of px")

    def masks(self, image: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """The breast and the eroded breast, bool (rows, cols) each, of a [0, 1] image with this pixel size."""
        breast = breast_mask(image, spacing_mm, self.dark_fat)
        return breast, self.eroded(breast, spacing_mm)

    def eroded(self, breast: np.ndarray, spacing_mm: float) -> np.ndarray:
        """The part of a breast mask, bool (rows, cols), where MCs are looked for."""
        factor = self.reference_spacing_mm / spacing_mm if self.reference_spacing_mm else 1.0
        return erode_breast(breast, 2 * round(self.erosion_px // 2 * factor) + 1)


def breast_mask(image: np.ndarray, spacing_mm: float = 0.07, dark_fat: bool = True) -> np.ndarray:
    """Segment the breast (with the pectoral muscle, where it is in view).

    Blocks brighter than 0.2 x Otsu's threshold are closed and their holes filled: fat that the presentation
    window turned nearly black is held by the skin line around it and the chest wall. What results is cut wherever
    it is thinner than 2 x `BRIDGE_MM` (at the image border: than `BRIDGE_MM`); the largest part is grown back to
    its outline and its holes are filled. Thin frames of film scans, letters and lead markers thus fall away, even
    where they touch the breast. What the same steps find above the level of the air around it is added where it is
    thicker than 2 x `FAT_MM` (not without `dark_fat`): fat that is darker than 0.2 x Otsu's threshold and open to
    the air. An image that is black everywhere has an empty mask; one that is bright everywhere (a spot view, a
    patch) has a full one.

    The image is float (rows, cols) in [0, 1], breast bright, air near 0 (a background brighter than 0.2 x Otsu's
    threshold cannot be told from tissue, and is kept), its pixels square; the mask is bool (rows, cols).
    """
    image = np.asarray(image)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"image: got shape {image.shape}; want a non-empty 2-D array (rows, cols)")
    check("spacing_mm", spacing_mm, np.isfinite(spacing_mm) and spacing_mm > 0, "a positive number of mm per px")
    rows, cols = image.shape
    block_px = max(1, round(GRID_MM / spacing_mm))
    grid = (max(1, round(cols / block_px)), max(1, round(rows / block_px)))
    blocks = cv2.resize(image.astype(np.float32, copy=False), grid, interpolation=cv2.INTER_AREA)
    if not np.isfinite(blocks).all():
        raise ValueError("image: got NaN or infinite values; want finite ones in [0, 1]")

    otsu, block_mm = otsu_threshold(blocks), spacing_mm * block_px
    part = _breast_among(blocks > OTSU_FRACTION * otsu, block_mm)
    if dark_fat and 0 < np.count_nonzero(part) < part.size:
        fat = _breast_among(blocks > _air_level(blocks[part == 0], otsu), block_mm) & ~part
        thick = cv2.erode(fat, _disc(round(FAT_MM / block_mm)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        if thick.any():
            _, labels = cv2.connectedComponents(fat)
            part = _fill_holes(part | np.isin(labels, np.unique(labels[thick > 0])))
    # Linear interpolation of the 0/255 blocks at half height: an outline without stairs.
    return cv2.resize(part * np.uint8(255), (cols, rows), interpolation=cv2.INTER_LINEAR) > 127


def _breast_among(bright: np.ndarray, block_mm: float) -> np.ndarray:
    """The largest thick part of the blocks, 0/1, with its holes filled."""
    closed = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_CLOSE, _disc(round(GAP_MM / block_mm)))
    return _fill_holes(_largest_part(_fill_holes(closed), round(BRIDGE_MM / block_mm)))


def _air_level(outside: np.ndarray, otsu: float) -> float:
    """What tissue is above, of the blocks outside of the breast: at least half of these must be air."""
    low, air = np.percentile(outside, [5, 50])
    return float(air + max(5 * (air - low) / 1.645, AIR_FRACTION * otsu))  # 1.645 standard deviations lie between them


def erode_breast(mask: np.ndarray, size_px: int = 45) -> np.ndarray:
    """Shrink the breast mask by a square, away from the skin line.

    What lies outside of the image counts as breast, as in the released program (scikit-image's erosion): at the
    chest wall and wherever else the breast leaves the image, nothing is taken off. Masks are bool (rows, cols);
    `size_px` is the side of the square, odd: 45 px at 0.07 mm in the paper, 1 changes nothing.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"mask: got {mask.dtype} of shape {mask.shape}; want a 2-D boolean array")
    check("size_px", size_px, size_px >= 1 and size_px % 2, "a positive odd number of px")
    if mask.size == 0:
        return mask.copy()
    square = np.ones((size_px, size_px), np.uint8)
    return cv2.erode(mask.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=1).view(bool)


def otsu_threshold(image: np.ndarray) -> float:
    """Otsu's threshold over 256 equal bins between the smallest and the largest value of a float image."""
    low, high = float(image.min()), float(image.max())
    if high <= low:
        return low
    levels = np.rint((image - low) * (255.0 / (high - low))).astype(np.uint8)
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return low + level / 255.0 * (high - low)


def _largest_part(bright: np.ndarray, bridge_px: int) -> np.ndarray:
    """The largest part of a 0/1 mask after cutting at thin places, with its own outline restored."""
    core = cv2.erode(bright, _disc(bridge_px), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    if not core.any():  # nothing is that thick, as on very small images
        return _largest_component(bright)
    # One px more than was taken off, so that convex corners (nipple, skin folds) come back too.
    grown = cv2.dilate(_largest_component(core), _disc(bridge_px + 1))
    return _largest_component(grown & bright)


def _largest_component(mask: np.ndarray) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    area[0] = 0  # label 0 is what is not in the mask
    return ((labels == np.argmax(area)) & (labels > 0)).view(np.uint8)


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill the dark regions that the breast and its chest-wall border enclose.

    A region is air if it reaches one of the three other borders, or is larger than half of the mask (the air
    within the closed frame of a film scan). Regions are 8-connected.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=8)
    half = mask.shape[1] // 2
    chest_wall_left = np.count_nonzero(mask[:, :half]) >= np.count_nonzero(mask[:, -half:])
    air = stats[:, cv2.CC_STAT_AREA] > np.count_nonzero(mask) / 2
    for border in (labels[0], labels[-1], labels[:, -1 if chest_wall_left else 0]):
        air[border] = True
    air[0] = False  # label 0 is the mask itself
    return (~air).take(labels, mode="clip").view(np.uint8)


def _disc(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= (radius + 0.5) ** 2).astype(np.uint8)
