"""Everything that is said about an image's clusters: members, hull, features, distribution, group."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from scripts.common.files import json_values
from scripts.common.objects import Microcalcification
from scripts.common.tensors import Spacing
from scripts.findings.clusters.cluster import Cluster, form_clusters, points_of
from scripts.findings.clusters.distribution import Breast, Distribution, DistributionRule
from scripts.findings.clusters.rules import CircleClusters, ClusterRule
from scripts.findings.features.clusters import CLUSTER_FEATURES, Group, cluster_features
from scripts.findings.features.microcalcifications import FeatureRecord
from scripts.findings.groups import GroupModel

#: Columns of the table of clusters, one row each; the features come last.
CLUSTER_COLUMNS = ("id", "mcs", "row", "col", "y_mm", "x_mm", "distribution", "group", *CLUSTER_FEATURES)


@dataclass(frozen=True)
class ClusterFinding:
    """A cluster and what was measured of it."""

    cluster: Cluster
    features: FeatureRecord  # `CLUSTER_FEATURES`
    distribution: Distribution
    group: int | None = None  # of the model of groups, from 0

    def as_json(self) -> dict[str, Any]:
        """Entry of findings.json."""
        content = asdict(self.cluster) | {
            "distribution": self.distribution.name,
            "distribution_reason": self.distribution.reason,
            "group": self.group,
            "features": self.features,
        }
        return json_values(content)

    def as_row(self) -> dict[str, Any]:
        """Row of the table of clusters, `CLUSTER_COLUMNS`."""
        counted = {"mcs": len(self.cluster.members), "distribution": self.distribution.name, "group": self.group}
        return asdict(self.cluster) | counted | self.features


@dataclass(frozen=True)
class ClusterAnalysis:
    """Forms and describes the clusters of an image."""

    rule: ClusterRule = field(default_factory=CircleClusters)
    distribution: DistributionRule = field(default_factory=DistributionRule)
    groups: GroupModel | None = None

    def analyse(
        self,
        mcs: Sequence[Microcalcification],
        features: Mapping[str, np.ndarray],
        spacing_mm: Spacing,
        breast: Breast | None = None,
    ) -> list[ClusterFinding]:
        """The clusters of these MCs in the order of their ids.

        Features are {name: (n,)} in the order of the MCs (`MCFeatures.measure`); MCs of excluded kinds are in neither.
        """
        clusters, points = form_clusters(self.rule, mcs, spacing_mm), points_of(mcs)
        areas, breast = np.array([mc.area_mm2 for mc in mcs], np.float64), breast or Breast()
        place = {mc.id: number for number, mc in enumerate(mcs)}
        records, distributions = [], []
        for cluster in clusters:
            own = np.zeros(len(mcs), bool)
            own[[place[member] for member in cluster.members]] = True
            group = Group(points[own], areas[own], {name: values[own] for name, values in features.items()})
            records.append(cluster_features(group))
            distributions.append(self.distribution.of_points(points[own], points[~own], breast))
        numbers = [None] * len(records) if self.groups is None else self.groups.groups(records).tolist()
        return [ClusterFinding(*parts) for parts in zip(clusters, records, distributions, numbers, strict=True)]
