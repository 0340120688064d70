"""A federation rehearsed in one process: sites that MONAI's `MonaiAlgo` trains and evaluates, and federated averaging.

    python -m scripts.training.federated --rounds 2

trains two sites of phantoms; `--site NAME=FOLDER`, given for each, takes data of yours. A real federation (NVIDIA FLARE
or another) makes the same `MonaiAlgo` at each site (`site`) and averages on its server.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from scripts.common.checks import check
from scripts.common.command_line import Parser
from scripts.common.tables import write_csv
from scripts.networks.checkpoint import write_file

logger = logging.getLogger(__name__)
BUNDLE = Path(__file__).resolve().parents[2]
TRAIN, SITE = "configs/train.json", "configs/federated_site.json"
PHANTOM_SITES = (("site_1", "data/federated/site_1"), ("site_2", "data/federated/site_2"))
Weights = dict[str, torch.Tensor]


def federated_average(weights: Sequence[Mapping[str, torch.Tensor]], shares: Sequence[float]) -> Weights:
    """Mean of the sites' weights, each site counting by its share: FedAvg (McMahan et al. 2017, arXiv 1602.05629).

    Counts (of BatchNorm's batches) are rounded. Sites of another network, or no share above 0, are a ValueError.
    """
    check("shares", list(shares), len(shares) == len(weights) and min(shares, default=-1) >= 0, "one of each site")
    total = float(sum(shares))
    check("shares", list(shares), total > 0, "a sum above 0")
    for other in weights[1:]:
        differing = sorted(weights[0].keys() ^ other.keys())
        check("weights", differing[:3], not differing, "the same network at every site")
    average: Weights = {}
    for name, first in weights[0].items():
        mean = sum(share / total * site[name].double() for share, site in zip(shares, weights, strict=True))
        average[name] = (mean if first.is_floating_point() else torch.round(mean)).to(first.dtype)
    return average


def site(name: str, overrides: Mapping[str, Any], overlays: Sequence[str] = (), local_epochs: int = 1) -> MonaiAlgo:
    """A site that is ready to train: it sends and takes whole weights, and is evaluated on its validation patches.

    Args:
        name: of the site.
        overrides: options of the configs, such as "dataset_dir", "cache_dir" and "output_dir"; JSON types.
        overlays: config files between train.json and federated_site.json, relative to the bundle's folder.
        local_epochs: epochs of each round.
    """
    files, values = [TRAIN, *overlays, SITE], {"bundle_root": str(BUNDLE), **overrides}
    algo = MonaiAlgo(
        bundle_root=str(BUNDLE),
        local_epochs=local_epochs,
        send_weight_diff=False,
        config_train_filename=files,
        train_kwargs=dict(values),
        config_evaluate_filename=files,  # the validator is part of the training's config
        eval_kwargs=dict(values),
        best_model_filepath=str(Path(str(values.get("output_dir", "runs"))).resolve() / "model.pt"),
        final_model_filepath=None,
        save_dict_key=None,
    )
    algo.initialize({ExtraItems.CLIENT_NAME: name})
    return algo


@dataclass
class Federation:
    """Rounds of federated averaging.

    The folder gets `rounds.csv` (round, site, iterations, and each site's validation metrics of the averaged weights)
    and `model.pt`, the averaged weights of the last round.
    """

    sites: Mapping[str, MonaiAlgo]
    output_dir: str | Path
    rows: list[dict[str, str]] = field(default_factory=list, init=False)

    def run(self, rounds: int) -> Weights:
        """The averaged weights after so many rounds; the first site's new network is where all begin."""
        check("sites", list(self.sites), len(self.sites) > 0, "one or more")
        check("rounds", rounds, rounds >= 1, "1 or more")
        shared = _sent(next(iter(self.sites.values())))[0]
        for number in range(1, rounds + 1):
            shared = self.round(number, shared)
            write_file(Path(self.output_dir) / "model.pt", shared)
        return shared

    def round(self, number: int, shared: Weights) -> Weights:
        """Every site trains from the shared weights; then it evaluates their average, which is returned."""
        sent: list[tuple[Weights, int]] = []
        for algo in self.sites.values():
            algo.train(_message(shared))
            sent.append(_sent(algo))
        shares = [iterations for _, iterations in sent]
        average = federated_average([weights for weights, _ in sent], shares)
        for (name, algo), iterations in zip(self.sites.items(), shares, strict=True):
            metrics = algo.evaluate(_message(average)).metrics or {}
            told = {key: f"{float(value):.6f}" for key, value in sorted(metrics.items())}
            self.rows.append({"round": str(number), "site": name, "iterations": str(iterations), **told})
            logger.info("round %d, %s: %s", number, name, ", ".join(f"{k} {v}" for k, v in told.items()))
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        write_csv(Path(self.output_dir) / "rounds.csv", columns, self.rows)
        return average

    def close(self) -> None:
        """End the sites' engines."""
        for algo in self.sites.values():
            algo.finalize()


def _message(weights: Weights) -> ExchangeObject:
    return ExchangeObject(weights=dict(weights), weight_type=WeightType.WEIGHTS)


def _sent(algo: MonaiAlgo) -> tuple[Weights, int]:
    """A copy of a site's weights, and how many iterations it has trained in this round."""
    message = algo.get_weights()
    weights = {name: value.detach().clone() for name, value in (message.weights or {}).items()}
    return weights, int((message.statistics or {}).get(FlStatistics.NUM_EXECUTED_ITERATIONS, 0))


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"got {text!r}; want NAME=VALUE")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    parser = Parser(prog="python -m scripts.training.federated", description="Federated averaging.")
    parser.add_argument("--site", type=_pair, action="append", metavar="NAME=FOLDER", help="a site and its dataset_dir")
    parser.add_argument("--overlay", action="append", default=[], help="config after train.json: method, data, recipe")
    parser.add_argument("--set", type=_pair, action="append", default=[], metavar="KEY=VALUE", help="option of configs")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--local_epochs", type=int, default=1, help="epochs of each round")
    parser.add_argument("--output_dir", default="runs/federated")
    given = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    common = {key: _value(value) for key, value in given.set}
    sites: dict[str, MonaiAlgo] = {}
    try:
        for number, (name, folder) in enumerate(given.site or PHANTOM_SITES, start=1):
            values = {"dataset_dir": folder} | ({} if given.site else {"source::seed": number}) | common
            values |= {"output_dir": str(Path(given.output_dir) / name)}
            sites[name] = site(name, values, given.overlay, given.local_epochs)
        federation = Federation(sites, given.output_dir)
        federation.run(given.rounds)
        federation.close()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
