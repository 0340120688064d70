"""A follow-up's files, as `run follow_up` leaves them, made by hand."""

from scripts.common.files import write_json
from scripts.common.tables import write_csv
from scripts.outputs.follow_up_report import COLUMNS


def add_follow_up(folder, prior_file, prior, current, status="compared"):
    """Write follow_up.json and .csv of two reports: mark 1 is unchanged, 2 is gone, 3 and on are new."""

    def exam(report, file):
        told = {key: report[key] for key in ("name", "identity", "rows", "cols", "spacing_mm", "breast_area_cm2")}
        return told | {"file": str(file)}

    part = {"count": 2, "count_per_cm2": 0.5, "mean_area_mm2": 0.02, "std_area_mm2": 0.01, "area_cm2": 4.0}
    interval = {"value": 1.5, "low": None, "high": None}
    change = {"matched": 1} | {key: interval for key in part if key != "area_cm2"}
    breast = {"name": "breast", "prior": part, "current": part | {"count": 3}, "change": change}
    old, new = ({mark["id"]: mark for mark in report["microcalcifications"]} for report in (prior, current))
    rows = [
        {"number": 1, "status": "unchanged", "prior_id": 1, "current_id": 1},
        {"number": 2, "status": "gone", "prior_id": 2},
    ]
    rows += [{"number": number, "status": "new", "current_id": number} for number in sorted(new) if number > 2]
    for row in rows:
        for name, known in (("prior", old), ("current", new)):
            if mark := known.get(row.get(f"{name}_id")):
                row |= {f"{name}_row": mark["row"], f"{name}_col": mark["col"]}
    statuses = [row["status"] for row in rows]
    report = {
        "schema": "microcalcification-follow-up-1",
        "status": status,
        "reasons": [] if status == "compared" else ["another breast"],
        "prior": exam(prior, prior_file),
        "current": exam(current, ""),
        "quality": None,
        "settings": {},
        "summary": {
            name: statuses.count(name) for name in ("unchanged", "grown", "shrunk", "new", "gone", "out of view")
        },
        "breast": breast,
        "regions": [],
        "clusters": [],
        "microcalcifications": [],
    }
    write_json(folder / "follow_up.json", report)
    write_csv(folder / "follow_up.csv", COLUMNS, rows)
