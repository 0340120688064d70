"""Evaluations of hand-made images, for the report's tests."""

import numpy as np
import torch
from monai.data import MetaTensor

from scripts.evaluation import sections as parts
from scripts.evaluation.crops import CropWriter
from scripts.evaluation.evaluate import Evaluation
from scripts.evaluation.handlers import FROCHandler
from scripts.evaluation.measures import Contrast, Neighbourhood
from scripts.evaluation.pixel_curves import PixelCurvesHandler
from scripts.evaluation.sections.clusters import FoundClusters
from scripts.evaluation.statistics import Bootstrap
from scripts.findings.clusters import SingleLinkageClusters

SIDE, SPACING = 80, 0.5  # 16 cm^2 each
A, B, FAR, EDGE = (20, 20), (30, 30), (60, 10), (70, 70)
NOTE = "MCs are drawn by hand <for tests> & simulated."


def squares(shape, places, values):
    array = np.zeros(shape, np.int32)
    for (row, col), number in zip(places, values, strict=True):
        array[row : row + 3, col : col + 3] = number
    return array


def evaluated(folder, method, marks, images=6, note="", **options):
    """A finished evaluation: every image has MCs at A and B; `marks(i)` gives {place: score} of the method."""
    crops, measures = CropWriter(folder, 20.0), [Contrast(gap_mm=0.5), Neighbourhood()]
    handler = FROCHandler(cell_mm=5.0, measures=measures, image_keys=["density"], crops=crops)
    pixels = PixelCurvesHandler()
    rng = np.random.default_rng(0)
    for i in range(images):
        found = marks(i)
        shape = (SIDE, SIDE)
        label = torch.from_numpy(squares(shape, [A, B], [1, 1]).astype(np.uint8))[None]
        instances = squares(shape, list(found), range(1, len(found) + 1))
        scores = np.array([0.0, *found.values()])
        image = MetaTensor(
            torch.from_numpy(rng.random((1, *shape), np.float32)), meta={"spacing_mm": (SPACING, SPACING)}
        )
        item = {"label": label, "breast": np.ones((1, *shape), bool), "instances": instances[None], "scores": scores}
        item |= {"image": image, "map": scores[instances][None].astype(np.float32)}
        batch = {"image_id": f"image {i}", "density": "dense" if i % 2 else "fatty"}
        handler.cases.append(handler.score(batch, item))
        pixels.add(item)
    return Evaluation(
        folder,
        handler,
        [
            *(parts.FrocSection(), parts.OperatingPointSection(), parts.IouSection(), parts.AgreementSection()),
            *(
                parts.ClusterSection(FoundClusters(SingleLinkageClusters(40.0, 2), 1)),
                parts.CalibrationSection(pixels=pixels),
            ),
            *(parts.PixelSection(pixels), parts.FailureClassesSection(), parts.SizeSection((1.0, 3.0))),
            parts.StrataSection({"diameter_mm": [1.0, 3.0], "contrast_to_noise": [1.0]}),
        ],
        bootstrap=Bootstrap(options.pop("bootstrap_samples", 40), seed=options.pop("seed", 0)),
        settings={"method": method, "dataset_dir": "data/hand", "section": "testing", "data_note": note},
        **({"operating_threshold": 0.5} | options),
    ).write()
