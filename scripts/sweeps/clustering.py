"""The search for clusters whose groups agree best with given distributions (arXiv 2102.00754, section V-C)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.common.checks import check
from scripts.common.tables import markdown_table, write_csv, write_text
from scripts.findings.cluster_findings import CLUSTER_COLUMNS, ClusterAnalysis, ClusterFinding
from scripts.findings.clusters import DistributionRule, OpticsClusters
from scripts.findings.clusters.distribution import DISTRIBUTIONS
from scripts.findings.groups import GroupModel, agreement, confusion, duplicated, fit_groups, group_names
from scripts.sweeps.clustering_cases import ImageSource, LabelledImage
from scripts.sweeps.clustering_picture import draw_groups
from scripts.sweeps.report import RankingReport, Row, best_of
from scripts.sweeps.storage import Direction
from scripts.sweeps.sweep import Note, Outcome, SkipTrialError

OPTICS_FIELDS = [field.name for field in fields(OpticsClusters)]


class Grouping(NamedTuple):
    """The clusters of all images and their groups."""

    found: list[tuple[LabelledImage, ClusterFinding]]
    model: GroupModel
    groups: np.ndarray  # int (clusters,)
    labels: list[str]  # of each pair of cluster and label
    places: np.ndarray  # cluster of each pair, int

    @property
    def scores(self) -> dict[str, float]:
        """Homogeneity and completeness of the groups."""
        return agreement(self.labels, self.groups[self.places])


class HomogeneityObjective:
    """Homogeneity of the k-means groups of OPTICS clusters, to be maximised.

    A setting that finds clusters in few images only would win for nothing (five clusters in five groups are pure), so
    at least `least_images_share` of the images must have one; the paper does not say how it saw to that.

    Args:
        source: images with labels.
        optics: clusters, with the values of those parameters that are not searched.
        k, seed: of k-means.
        least_images_share: see above.
        distribution: the geometric rule that is shown beside the groups.
    """

    direction: Direction = "maximize"

    def __init__(
        self,
        source: ImageSource,
        optics: OpticsClusters | None = None,
        k: int = 5,
        seed: int = 0,
        least_images_share: float = 0.9,
        distribution: DistributionRule | None = None,
    ) -> None:
        check("least_images_share", least_images_share, 0 <= least_images_share <= 1, "a share in [0, 1]")
        self.source, self.optics, self.k, self.seed = source, optics or OpticsClusters(), k, seed
        self.least_images_share, self.distribution = least_images_share, distribution or DistributionRule()

    @cached_property
    def _images(self) -> list[LabelledImage]:
        return self.source.images()

    @property
    def settings(self) -> dict[str, Any]:
        """For `describe`."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    def prepare(self) -> None:
        """Read or generate the images."""
        check("source", len(self._images), self._images, "labelled images")

    def first(self, keys: Collection[str]) -> Sequence[Mapping[str, Any]]:
        """The values of `optics`."""
        return [{key: getattr(self.optics, _field(key)) for key in keys}]

    def __call__(self, parameters: Mapping[str, Any], note: Note) -> Outcome:
        """Cluster, measure and group; keys end in fields of `OpticsClusters`."""
        grouping = self.grouping(parameters)
        with_cluster = len({image.image_id for image, _ in grouping.found})
        share = with_cluster / len(self._images)
        values = {**grouping.scores, "clusters": len(grouping.found), "images_with_cluster": with_cluster}
        return Outcome(values["homogeneity"], values, {"images": self.least_images_share - share})

    def grouping(self, parameters: Mapping[str, Any]) -> Grouping:
        """Clusters and groups of a trial; SkipTrialError when the parameters do not go together or clusters are few."""
        values = {_field(key): value for key, value in parameters.items()}
        try:
            rule = replace(self.optics, **values)
        except ValueError as error:
            raise SkipTrialError(str(error)) from error
        analysis = ClusterAnalysis(rule, self.distribution)
        found = [
            (image, finding)
            for image in self._images
            for finding in analysis.analyse(image.mcs, image.features, image.spacing_mm, image.breast)
        ]
        if len(found) < self.k:
            raise SkipTrialError(f"{len(found)} clusters; want at least {self.k}, one per group")
        records = [finding.features for _, finding in found]
        model = fit_groups(records, self.k, self.seed)
        groups = model.groups(records)
        places, labels = duplicated([image.labels for image, _ in found])
        table = confusion(labels, groups[places], label_order(labels), range(self.k))
        return Grouping(found, replace(model, names=group_names(table, label_order(labels))), groups, labels, places)


@dataclass(frozen=True)
class ClusteringReport:
    """All trials in order of merit; of the best one the groups, how they agree with the labels, and its clusters.

    Writes besides `RankingReport`'s files: groups.json (the model), confusion.md, confusion_groups.csv,
    confusion_distributions.csv, clusters.csv, clusters.png.
    """

    objective: HomogeneityObjective
    note: str = ""  # a sentence on the data

    def write(self, folder: Path, rows: Sequence[Row], direction: str) -> None:
        """See `SweepReport`."""
        RankingReport("Clusters: homogeneity of groups", note=self.note).write(folder, rows, direction)
        best = best_of(rows, direction)
        if best is None:
            return
        made = self.objective.grouping(best.parameters)
        made.model.save(folder / "groups.json")
        order, names = label_order(made.labels), [f"group {number}" for number in range(self.objective.k)]
        numbers = made.groups[made.places].tolist()
        by_group = confusion(made.labels, numbers, order, range(self.objective.k))
        classes = [made.found[place][1].distribution.name for place in made.places]
        by_class = confusion(made.labels, classes, order, DISTRIBUTIONS)
        tables = {"groups": (names, by_group), "distributions": (DISTRIBUTIONS, by_class)}
        for name, (columns, table) in tables.items():
            lines = [
                {"label": label, **dict(zip(columns, row.tolist(), strict=True))}
                for label, row in zip(order, table, strict=True)
            ]
            write_csv(folder / f"confusion_{name}.csv", ["label", *columns], lines)
        write_text(folder / "confusion.md", self._text(best, made, order, tables))
        write_csv(folder / "clusters.csv", ["image_id", "labels", *CLUSTER_COLUMNS], _cluster_rows(made))
        pictured = [
            (image, finding.cluster, int(g)) for (image, finding), g in zip(made.found, made.groups, strict=True)
        ]
        draw_groups(folder / "clusters.png", order, tables, pictured)

    def _text(self, best: Row, made: Grouping, order: Sequence[str], tables: Mapping[str, Any]) -> str:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in made.scores.items())
        by_class = [made.found[place][1].distribution.name for place in made.places]
        classes = ", ".join(f"{name} {value:.3f}" for name, value in agreement(made.labels, by_class).items())
        blocks = [
            f"# Groups of clusters\n\n{self.note}\n\nTrial {best.trial}: {len(made.found)} clusters, "
            f"{len(made.labels)} pairs of a cluster and a label of its image.\n",
            f"## By k-means\n\nGroups: {scores}. Most frequent label of each group: {', '.join(made.model.names)}.\n",
            markdown_table(["label", *tables["groups"][0]], _lines(order, tables["groups"][1])),
            f"## By the geometric rules\n\nClasses: {classes}.\n",
            markdown_table(["label", *DISTRIBUTIONS], _lines(order, tables["distributions"][1])),
        ]
        return "\n".join(blocks)


def label_order(labels: Sequence[str]) -> list[str]:
    """The labels that occur, BI-RADS's first, others by name."""
    return [*(name for name in DISTRIBUTIONS if name in labels), *sorted(set(labels) - set(DISTRIBUTIONS))]


def _lines(order: Sequence[str], table: np.ndarray) -> list[list[Any]]:
    return [[label, *row] for label, row in zip(order, table.tolist(), strict=True)]


def _cluster_rows(made: Grouping) -> list[dict[str, Any]]:
    rows = []
    for (image, finding), group in zip(made.found, made.groups.tolist(), strict=True):
        rows.append(finding.as_row() | {"image_id": image.image_id, "labels": "|".join(image.labels), "group": group})
    return rows


def _field(key: str) -> str:
    name = key.rpartition("::")[2]
    check("space", key, name in OPTICS_FIELDS, f"keys that end in one of {OPTICS_FIELDS}")
    return name
