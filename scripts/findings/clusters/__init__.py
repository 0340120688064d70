"""Clusters of microcalcifications: rules, records, distribution classes."""

from scripts.findings.clusters.cluster import Cluster, form_clusters
from scripts.findings.clusters.distribution import Breast, Distribution, DistributionRule, nipple_estimate_mm
from scripts.findings.clusters.optics import OpticsClusters
from scripts.findings.clusters.rules import CLINICAL_RULES, CircleClusters, ClusterRule, SingleLinkageClusters

__all__ = [
    "CLINICAL_RULES",
    "Breast",
    "CircleClusters",
    "Cluster",
    "ClusterRule",
    "Distribution",
    "DistributionRule",
    "OpticsClusters",
    "SingleLinkageClusters",
    "form_clusters",
    "nipple_estimate_mm",
]
