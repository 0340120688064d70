"""study.json: what is said of all images of a study together (docs/study_schema.json)."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.common.outcomes import (
    FAILED,
    FOUND,
    NOT_ATTEMPTED,
    NOTHING_FOUND,
    PARTLY_FOUND,
    PARTLY_NOTHING_FOUND,
    WITH_RESULT,
    together,
)
from scripts.common.provenance import bundle_version
from scripts.outputs.study.grouping import Group, Placed
from scripts.outputs.study.results import Image

SCHEMA = "microcalcification-study-1"
#: outcome of the study -> (which algorithms succeeded, in words)
WORDS = {
    NOTHING_FOUND: ("all", "all images done, nothing found"),
    FOUND: ("all", "all images done, microcalcifications found"),
    PARTLY_NOTHING_FOUND: ("some", "not all done, nothing found in what was"),
    PARTLY_FOUND: ("some", "not all done, microcalcifications found in what was"),
    FAILED: ("none", "no image done"),
    NOT_ATTEMPTED: ("none", "no image was tried"),
}
_COUNTS = ("count", "count_per_cm2", "marks", "clusters", "kinds")


def outcome_of(images: Sequence[Image]) -> dict[str, Any]:
    """Which of the five outcomes of CID 6047 holds for images together."""
    from scripts.outputs.dicom.codes import CODE_OF  # highdicom takes a second to load

    status = together(image.status for image in images)
    code, (succeeded, words) = CODE_OF[status], WORDS[status]
    found = status in (FOUND, PARTLY_FOUND)
    coded = {"code": code.value, "scheme": code.scheme_designator, "meaning": code.meaning.replace("\u200b", "")}
    return coded | {"succeeded": succeeded, "findings": found, "status": status, "words": words}


def build_study(
    group: Group,
    run: Mapping[str, Any],
    folders: Mapping[str, str],
    loose: Sequence[str] = (),
    follow_ups: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything that is said about a study, as JSON types.

    `run` is the run report ({} without one); `folders` are those of the images' results, relative to the study's own;
    `loose` the failed images that could not be assigned to a study, `follow_ups` reports of follow_up.json.
    """
    placed = group.in_order()
    reports = [one.image.report for one in placed if one.image.report is not None]
    settings = run.get("settings") or {}
    first = reports[0] if reports else {}
    point = first.get("operating_point") or settings
    about = next((one.image.identity for one in placed if one.image.identity), {})
    statuses = [one.image.status for one in placed]
    names = {one.image.image_id: one.label for one in placed}
    return {
        "schema": SCHEMA,
        "study": group.name,
        "grouped_by": group.grouped_by,
        "study_uid": group.study_uid,
        "patient_id": str(about.get("patient_id", "")),
        "outcome": outcome_of([one.image for one in placed]),
        "method": str(first.get("method") or settings.get("method") or ""),
        "operating_point": {
            "preset": point.get("preset"),
            "score_threshold": point.get("score_threshold"),
            "presets": {name: entry["threshold"] for name, entry in (point.get("presets") or {}).items()},
        },
        "weights": run.get("weights"),
        "settings_sha256": run.get("settings_sha256"),
        "bundle_version": (run.get("versions") or {}).get("bundle") or bundle_version(),
        "run_state": run.get("state"),
        "summary": {
            "images": len(placed),
            "images_done": sum(status in WITH_RESULT for status in statuses),
            "count": sum(report["summary"]["count"] for report in reports),
            "clusters": sum(report["summary"].get("clusters") or 0 for report in reports),
        },
        "images": [_image(one, folders[one.image.image_id]) for one in placed],
        "clusters": [cluster for one in placed for cluster in _clusters(one)],
        "hanging": [[one and one.image.image_id for one in row] for row in group.hanging()],
        "unassigned_failures": list(loose),
        "follow_up": [_follow_up(entry, names) for entry in follow_ups],
    }


def _image(placed: Placed, folder: str) -> dict[str, Any]:
    image, report = placed.image, placed.image.report or {}
    told: dict[str, Any] = {"image_id": image.image_id, "name": image.name, "results": folder}
    told |= {"laterality": placed.laterality, "view": placed.view, "sop_uid": str(image.identity.get("sop_uid", ""))}
    told |= {"status": image.status, "outcome": outcome_of([image])["code"]}
    told |= {"stage": image.stage, "reason": image.reason}
    told |= {key: report.get(key) for key in ("rows", "cols", "spacing_mm", "breast_area_cm2")}
    summary = report.get("summary") or {}
    return told | {key: summary.get(key) for key in _COUNTS}


def _clusters(placed: Placed) -> list[dict[str, Any]]:
    """The clusters of an image, the highest score first."""
    report = placed.image.report or {}
    scores = {mark["id"]: mark["score"] for mark in report.get("microcalcifications", [])}
    told = [
        {
            "image_id": placed.image.image_id,
            "laterality": placed.laterality,
            "view": placed.view,
            "id": cluster["id"],
            "microcalcifications": len(cluster["members"]),
            "distribution": cluster.get("distribution"),
            "score": max(scores[member] for member in cluster["members"]),
            "row": cluster["row"],
            "col": cluster["col"],
            "tracking_uid": cluster.get("tracking_uid"),
        }
        for cluster in report.get("clusters") or []
    ]
    return sorted(told, key=lambda cluster: (-cluster["score"], cluster["id"]))


def _follow_up(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    report = entry["report"]
    told = {"image_id": entry["image_id"], "image": names[entry["image_id"]], "prior": report["prior"]["name"]}
    told |= {"status": report["status"], "reasons": report["reasons"]}
    return told | {key: report[key] for key in ("summary", "breast", "clusters")}
