"""Numbers about single microcalcifications and about clusters of them (docs/features.md)."""

from scripts.findings.features.clusters import CLUSTER_FEATURES, cluster_features
from scripts.findings.features.microcalcifications import MC_FEATURES, MCFeatures

__all__ = ["CLUSTER_FEATURES", "MC_FEATURES", "MCFeatures", "cluster_features"]
