"""Draw MCs into a [0, 1] presentation image: Beer-Lambert attenuation, detector blur, damping near white; label."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings
from scripts.simulation.insertion.shapes import MAP_PX, ShapeBank
from scripts.simulation.phantom.calcifications import clip_window
from scripts.simulation.phantom.physics import mc_attenuation

SUBPIXELS = 4
WHITE_RANGE = 0.25  # contrast fades linearly to 0 over this range below white, as display curves do


@dataclass(frozen=True, eq=False)
class Insertion:
    """Result of `insert_mcs`."""

    image: np.ndarray  # float32 (rows, cols), [0, 1]
    label: np.ndarray  # uint8 (rows, cols) {0, 1 = MC, 2 = ignore}
    #: A dictionary per drawn MC: row, col (px), diameter_px, area_px, contrast, cnr, cluster, kind, label.
    records: list[dict[str, float]]


def local_noise(image: np.ndarray) -> np.ndarray:
    """Sd of the fine grain around each pixel of a float32 image (rows, cols), as of a normal distribution.

    The grain is |image - Gaussian of 2 px| (what varies more slowly is structure, not noise), its mean that over 41 px.
    """
    grain = np.abs(image - cv2.GaussianBlur(image, (0, 0), 2.0))
    return cv2.blur(grain, (41, 41)) * np.float32(np.sqrt(np.pi / 2))


def mc_signal(mc: InsertedMc, bank: ShapeBank, blur_px: float) -> tuple[int, int, np.ndarray]:
    """First row, first column and attenuation (log units), float32 (side, side), of an MC behind blur and aperture."""
    map_diameter = float(bank.diameter_px[mc.shape])
    scale = map_diameter / (mc.diameter * SUBPIXELS)  # px of the map per subpixel
    half = int(np.ceil(MAP_PX / 2 / map_diameter * mc.diameter * np.sqrt(mc.aspect) + 3 * blur_px)) + 1
    row, col = round(mc.row), round(mc.col)
    centre = (half + np.array([mc.col - col, mc.row - row]) + 0.5) * SUBPIXELS - 0.5
    cosine, sine, stretch = np.cos(mc.angle), np.sin(mc.angle), np.sqrt(mc.aspect)
    turn = np.array([[cosine / stretch, sine / stretch], [-sine * stretch, cosine * stretch]]) * scale
    if mc.mirrored:
        turn[0] *= -1
    matrix = np.hstack([turn, ((MAP_PX - 1) / 2 - turn @ centre)[:, None]])
    side, flags = 2 * half + 1, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    fine = cv2.warpAffine(bank.maps[mc.shape], matrix, (side * SUBPIXELS, side * SUBPIXELS), flags=flags)
    transmission = np.exp(-mc_attenuation(fine * np.float32(mc.thickness_mm))).astype(np.float32)
    if blur_px > 0:
        transmission = cv2.GaussianBlur(transmission, (0, 0), blur_px * SUBPIXELS, borderType=cv2.BORDER_REPLICATE)
    pixels = cv2.resize(transmission, (side, side), interpolation=cv2.INTER_AREA)
    return row - half, col - half, -np.log(pixels)


def insert_mcs(
    image: np.ndarray, mcs: Sequence[InsertedMc], bank: ShapeBank, blur_px: float, settings: InsertionSettings
) -> Insertion:
    """Draw MCs and label them: pixels over half of an MC's peak (holes filled) are 1, faint MCs' 2.

    `image`, float32 (rows, cols) in [0, 1], is not changed; centres lie inside; `blur_px`: sigma of detector blur.
    """
    noise, base = local_noise(image), cv2.GaussianBlur(image, (0, 0), 4.0)
    added, label = np.zeros_like(image), np.zeros(image.shape, np.uint8)
    records: list[dict[str, float]] = []
    for mc in mcs:
        top, left, signal = mc_signal(mc, bank, blur_px)
        window, part = clip_window(top, left, signal.shape, image.shape)
        row, col = round(mc.row), round(mc.col)
        damping = min(1.0, max(0.0, (1.0 - float(base[row, col])) / WHITE_RANGE))
        signal = signal[part] * np.float32(mc.gain * damping)
        peak = float(signal.max(initial=0.0))
        cnr = peak / max(float(noise[row, col]), 1e-6)
        if cnr < settings.ignored_cnr or peak <= 0:
            continue
        added[window] += signal
        visible = cnr >= settings.visible_cnr
        body = filled(signal > 0.5 * peak)
        area = label[window]
        area[body & ((area != 1) | visible)] = 1 if visible else 2
        record = {"row": mc.row, "col": mc.col, "diameter_px": mc.diameter, "area_px": int(np.count_nonzero(body))}
        record |= {"contrast": peak, "cnr": cnr, "cluster": mc.cluster, "kind": int(bank.kind[mc.shape])}
        records.append({**record, "label": 1 if visible else 2})
    return Insertion(np.clip(image + added, 0, 1), label, records)


def filled(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes, as `scipy.ndimage.binary_fill_holes`, for small masks fifty times faster."""
    padded = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2, flags=4)
    return (padded != 2)[1:-1, 1:-1]
