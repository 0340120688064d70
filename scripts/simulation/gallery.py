"""A picture of everything that insertion draws: every kind of MC, every look-alike, every domain shift.

python -m monai.bundle run picturing --config_file configs/data_benchmark.json --background_dir <folder>
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from scripts.candidates.breast_mask import breast_mask, erode_breast
from scripts.common.files import write_png
from scripts.data.lists.backgrounds import background_datalist
from scripts.simulation.benchmark import BenchmarkSettings
from scripts.simulation.insertion.domain import Domain, apply_domain
from scripts.simulation.insertion.lookalikes import Lookalike, LookalikeSettings, draw_lookalikes, sample_lookalikes
from scripts.simulation.insertion.rendering import insert_mcs, local_noise
from scripts.simulation.insertion.sampling import InsertedMc, InsertionSettings, Places, sample_mcs
from scripts.simulation.insertion.shapes import KINDS, ShapeBank, shape_bank

CELL_PX, ZOOM, COLUMNS = 96, 3, 4
ALL_VISIBLE = InsertionSettings(ignored_cnr=0.0, visible_cnr=0.0)
GREEN, WHITE = (0, 200, 0), (255, 255, 255)


def draw_gallery(
    background_dir: str | Path, path: str | Path, loader: Callable, settings: BenchmarkSettings, seed: int = 0
) -> Path:
    """Write the picture: rows of four cells, a label in each; MCs outlined in green in every second cell of a pair.

    Of the normal mammograms those of the training section are used; `loader` reads one into [1, rows, cols] in [0, 1].
    """
    many = LookalikeSettings(rate=4000.0)
    rng, bank = np.random.default_rng(seed), shape_bank()
    items = background_datalist(background_dir)["training"]
    cells: list[np.ndarray] = []
    for number, kind in enumerate(KINDS):
        window = _window(rng, items, loader)
        made = insert_mcs(window, _examples(rng, bank, number), bank, 0.6, ALL_VISIBLE)
        cells += [_cell(made.image, kind), _cell(made.image, "its labels", made.label)]
    for kind in many.kinds:
        window = _window(rng, items, loader)
        noise, middle = local_noise(window), np.zeros(window.shape, bool)
        middle[CELL_PX // 2 - 8 : CELL_PX // 2 + 8, CELL_PX // 2 - 8 : CELL_PX // 2 + 8] = True
        drawn: list[Lookalike] = []
        while not drawn:
            drawn = [item for item in sample_lookalikes(rng, middle, noise, many) if item.kind == kind][:2]
        cells.append(_cell(draw_lookalikes(window, drawn), f"no MC: {kind.replace('_', ' ')}"))
    window = _window(rng, items, loader)
    cluster = sample_mcs(rng, np.ones(window.shape, bool), 0.07, 3, 3, bank, settings.insertion)
    image = insert_mcs(window, cluster, bank, 0.6, settings.insertion).image
    for name, domain in {"as it is": Domain(), **settings.shifts}.items():  # one grey range for all
        cells.append(_cell(apply_domain(image, domain), name.replace("_", " "), limits=(0.0, 0.8)))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % COLUMNS)
    rows = [np.hstack(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    return write_png(path, np.vstack(rows))


def _window(rng: np.random.Generator, items: list[dict], loader: Callable) -> np.ndarray:
    """A window of a random background, well inside the breast."""
    image = np.asarray(loader(dict(items[rng.integers(len(items))]))["image"], np.float32)[0]
    row, col = Places(erode_breast(breast_mask(image, 0.07, dark_fat=False), 2 * CELL_PX + 1)).draw(rng) - CELL_PX // 2
    row, col = (int(np.clip(start, 0, size - CELL_PX)) for start, size in zip((row, col), image.shape, strict=True))
    return np.ascontiguousarray(image[row : row + CELL_PX, col : col + CELL_PX])


def _examples(rng: np.random.Generator, bank: ShapeBank, kind: int) -> list[InsertedMc]:
    """Four MCs of one kind, 4 to 12 px, of clear contrast."""
    mcs = []
    for place, diameter in enumerate((4.0, 6.0, 9.0, 12.0)):
        shape = int(rng.choice(np.flatnonzero(bank.kind == kind)))
        row, col = 26 + 44 * (place // 2) + rng.random(), 26 + 44 * (place % 2) + rng.random()
        angle = float(rng.uniform(0, np.pi))
        mcs.append(InsertedMc(row, col, diameter, 0.07 * 0.69 * diameter, 1.2, angle, False, shape, 1.2, 0))
    return mcs


def _cell(
    image: np.ndarray, text: str, label: np.ndarray | None = None, limits: tuple[float, float] | None = None
) -> np.ndarray:
    """uint8 RGB of one window, enlarged, grey range `limits` or its own, with outlines and a caption."""
    low, high = limits or np.percentile(image, (0.5, 99.9))
    grey = np.clip((image - low) / max(high - low, 1e-3), 0, 1)
    size = (CELL_PX * ZOOM, CELL_PX * ZOOM)
    picture = cv2.cvtColor(cv2.resize(np.uint8(grey * 255), size, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    if label is not None:
        mask = cv2.resize(np.uint8(label > 0), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, GREEN, 1)
    cv2.putText(picture, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, WHITE, 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=WHITE)
