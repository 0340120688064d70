"""What a training step costs with patches made on the fly, against the same step on tensors already in memory."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from scripts.bench.report import Row, Section
from scripts.bench.stages import ROOT
from scripts.data.lists.folder import list_mammograms

RECIPES = {
    "HDoGReg": ("train.json", "data_insertion.json", "hdogreg_recipe.json"),
    "slim FCN": ("train.json", "slim_fcn_train.json", "data_insertion.json", "slim_fcn_recipe.json"),
}


def training_parser(
    recipe: str, background_dir: str, folder: str, workers: int, steps: int, changes: Mapping[str, Any] | None = None
) -> ConfigParser:
    """The configs of a recipe, cut down to some steps.

    Args:
        recipe: a key of `RECIPES`.
        background_dir: mammograms in which MCs are simulated.
        folder: cache and outputs.
        workers: processes that make patches.
        steps: batches of an epoch.
        changes: config keys to set, such as the batch size.
    """
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in RECIPES[recipe]])
    paths = {"bundle_root": str(ROOT), "cache_dir": str(Path(folder) / "cache"), "output_dir": folder}
    parser.update(
        {**paths, "background_dir": background_dir, "workers": workers, "publish_path": "", **(changes or {})}
    )
    parser.update({"patches::patches_per_epoch": steps * int(parser.get("batch_size"))})
    backgrounds = [{**item, "label": "", "annotation": "full"} for item in list_mammograms(background_dir)]
    parser.update({"train::dataset::data": backgrounds})
    parser.parse()
    return parser


def trainer_step(parser: ConfigParser) -> Callable[[dict[str, Any]], None]:
    """One step of the recipe as the trainer does it: forward, loss, backward, optimizer."""
    trainer = {key: parser.get_parsed_content(key) for key in ("network", "loss", "optimizer", "device")}
    inferer = parser.get_parsed_content("train::inferer")
    network, device = trainer["network"].train(), torch.device(trainer["device"])

    def step(batch: dict[str, Any]) -> None:
        trainer["optimizer"].zero_grad()
        found = inferer(batch["image"].to(device), network)
        trainer["loss"](found, batch["label"].to(device)).backward()
        trainer["optimizer"].step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return step


def seconds_per_step(step: Callable[[Any], None], batches: Iterable[Any], warm: int = 2) -> float:
    """Mean wall time of a step with the fetching of its batch, after some untimed ones."""
    count, start = -warm, 0.0
    for batch in batches:
        if count == 0:
            start = time.perf_counter()
        step(batch)
        count += 1
    if count < 1:
        raise ValueError(f"batches: got {count + warm}; want more than the {warm} untimed ones")
    return (time.perf_counter() - start) / count


def training_rows(
    recipe: str,
    background_dir: str,
    folder: str,
    workers: int,
    steps: int,
    repeats: int,
    changes: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Times of steps on the fly and in memory, taken in turns; one row.

    Args:
        recipe, background_dir, folder, workers: see `training_parser`.
        steps: timed steps of either kind per repeat.
        repeats: turns; medians are reported.
        changes: see `training_parser`.
    """
    warm = 2
    parser = training_parser(recipe, background_dir, folder, workers, steps + warm, changes)
    loader, step = parser.get_parsed_content("train::dataloader"), trainer_step(parser)
    kept = [batch for batch, _ in zip(loader, range(steps + warm), strict=False)]
    fly, memory = [], []
    for _ in range(repeats):
        memory.append(seconds_per_step(step, kept, warm))
        fly.append(seconds_per_step(step, loader, warm))
    dataset = parser.get_parsed_content("train::dataset")
    start = time.process_time()
    for index in range(min(16, len(dataset))):
        dataset[index]
    patch = (time.process_time() - start) / min(16, len(dataset))
    in_memory, on_the_fly = statistics.median(memory), statistics.median(fly)
    row: Row = {
        "recipe": recipe,
        "workers": workers,
        "in memory, s per step": in_memory,
        "on the fly, s per step": on_the_fly,
        "more, %": 100 * (on_the_fly / in_memory - 1),
        "one patch, CPU ms": 1000 * patch,
        "batch": f"{parser.get('batch_size')} of {parser.get('patches::patch_px')} px",
    }
    return [row]


def training_section(rows: list[Row], steps: int, repeats: int) -> Section:
    """The training table."""
    note = f"Medians of {repeats} turns of {steps} steps (two more before each do not count). 0 workers: same process."
    return Section("Training step: patches on the fly against tensors in memory", rows, [note])
