"""Unique identifiers (UIDs) that follow from what they name, so that a second run writes the same ones.

An MC and a cluster have one tracking UID in JSON, DICOM SEG and both structured reports.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from scripts.common.files import sha256_of


def derived_uid(*parts: object) -> str:
    """A UID under 2.25 (PS3.5 B.2) that depends on `parts` only."""
    text = "\0".join(str(part) for part in parts)
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode('utf-8', 'surrogateescape')).digest()[:16], 'big')}"


def image_key(report: Mapping[str, Any], file: str) -> str:
    """What UIDs of results are derived from: the image's SOP instance UID as the report tells it, else its contents.

    The report must have gone through `Identity.report`: then nothing else of the patient goes in.
    """
    return report["identity"].get("sop_uid") or f"sha256 {sha256_of(file)}"


def with_tracking_uids(report: Mapping[str, Any], file: str) -> dict[str, Any]:
    """A report of one image whose MCs and clusters have a "tracking_uid"; those that have one keep it.

    It depends on the image, the method, the object's id and its centroid. `file` is the image's own, for images
    without a SOP instance UID.
    """
    key = image_key(report, file)

    def tracked(kind: str, thing: Mapping[str, Any]) -> dict[str, Any]:
        place = (thing["id"], f"{thing['row']:.3f}", f"{thing['col']:.3f}")
        return {"tracking_uid": derived_uid(key, report["method"], kind, *place), **thing}

    told = dict(report) | {"microcalcifications": [tracked("MC", mc) for mc in report["microcalcifications"]]}
    if report.get("clusters") is not None:
        told["clusters"] = [tracked("cluster", cluster) for cluster in report["clusters"]]
    return told
