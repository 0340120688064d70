"""Clusters of microcalcifications: rules, records, distribution classes."""

from scripts.findings.clusters.cluster import Cluster, form_clusters
from scripts.findings.clusters.rules import (
    CLINICAL_RULES,
    CircleClusters,
    ClusterRule,
    OpticsClusters,
    SingleLinkageClusters,
)

__all__ = [
    "CLINICAL_RULES",
    "CircleClusters",
    "Cluster",
    "ClusterRule",
    "OpticsClusters",
    "SingleLinkageClusters",
    "form_clusters",
]
