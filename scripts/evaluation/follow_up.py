"""Follow-up on phantom pairs with a known change, and on pairs that must be refused.

The MCs are the phantoms' own labels, not a network's marks: what is measured is registration, matching and refusal.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scripts.candidates.breast_mask import breast_mask
from scripts.common.checks import check, check_fields
from scripts.common.files import write_atomically, write_json
from scripts.common.objects import measure_objects
from scripts.common.settings import describe
from scripts.common.tables import markdown_table, write_csv, write_text
from scripts.findings.follow_up.comparable import QualityLimits
from scripts.findings.follow_up.compare import COMPARED, REFUSED, compare
from scripts.findings.follow_up.exams import Exam, reduced
from scripts.findings.follow_up.matching import GONE, GROWN, MATCHED, NEW, OUT_OF_VIEW, UNCHANGED, MatchingRule, Trace
from scripts.findings.follow_up.registration import ElastixRegistration, Registration
from scripts.simulation.phantom.pairs import PairSettings, PhantomPair, sample_pair
from scripts.simulation.phantom.parameters import PhantomSpec
from scripts.simulation.phantom.rendering import Phantom

logger = logging.getLogger(__name__)

#: Pair k has the k-th of these; the other view of k is k ^ 1, the other side k ^ 2, another patient k + 4.
SIDES = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
WRONG = {"other view": lambda k: k ^ 1, "other breast": lambda k: k ^ 2, "other patient": lambda k: k + 4}
DENSITIES = ("fatty", "scattered", "heterogeneous", "dense")
#: Numbers of new and of gone MCs of a pair may be wrong by this share of the true number, and one more.
COUNT_BOUND = 0.05
COLUMNS: tuple[str, ...] = (
    "pair",
    "seconds",
    "prior",
    "current",
    "mcs",
    "right",
    "new",
    "new_found",
    "gone",
    "gone_found",
)
COLUMNS += ("unchanged", "unchanged_found", "grown", "grown_found", "residual_mm", "overlap", "correlation")


@dataclass(frozen=True)
class FollowUpEvaluation:
    """Evaluate pairs by seed. What is done is kept in `output_dir`, so that an interrupted run goes on."""

    output_dir: str
    pairs: int = 20
    wrong_pairs: int = 10
    seed: int = 0  # pair k depends on (seed, k) only
    shape: tuple[int, int] = (3328, 2560)  # rows, columns
    spacing_mm: float = 0.07
    phantoms: PairSettings = field(default_factory=PairSettings)
    registration: ElastixRegistration = field(default_factory=ElastixRegistration)
    limits: QualityLimits = field(default_factory=QualityLimits)
    matching: MatchingRule = field(default_factory=MatchingRule)

    def __post_init__(self) -> None:
        check_fields(self, spacing_mm="(0, inf)", pairs="[1, inf)")
        enough = self.pairs >= self.wrong_pairs + 4 or not self.wrong_pairs
        check("pairs", self.pairs, enough, "4 more than wrong_pairs, which are made of them")

    def run(self) -> dict[str, Any]:
        """Evaluate, write `pairs.csv`, `evaluation.json` and `evaluation.md`; the figures."""
        folder = Path(self.output_dir).expanduser()
        rows = [self._kept(folder / f"pair_{k:02d}.json", self._pair, k) for k in tqdm(range(self.pairs), desc="pairs")]
        kinds = [list(WRONG)[k % len(WRONG)] for k in range(self.wrong_pairs)]
        refusals = [
            self._kept(folder / f"wrong_{k:02d}.json", self._wrong, k, kind)
            for k, kind in enumerate(tqdm(kinds, desc="wrong pairs"))
        ]
        figures = summary_of(rows, refusals)
        write_csv(folder / "pairs.csv", COLUMNS, rows)
        write_json(folder / "evaluation.json", figures | {"settings": self._settings(), "refusals": refusals})
        text = markdown_table(("figure", "value"), list(figures.items()))
        text += "\n" + markdown_table(("pair", "refused by tags", "without tags", "why"), list(map(_cells, refusals)))
        logger.info("\n%s\nwritten: %s", text, write_text(folder / "evaluation.md", text))
        return figures

    def _settings(self) -> dict[str, Any]:
        return {
            key: value for key, value in describe(self).items() if key not in ("output_dir", "pairs", "wrong_pairs")
        }

    def _kept(self, path: Path, make: Any, *arguments: Any) -> dict[str, Any]:
        """What `make` gives, read from `path` if it was made with the same settings."""
        settings = json.loads(json.dumps(self._settings()))
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            if known.pop("settings") == settings:
                return known
        made = make(path.parent, *arguments)
        write_json(path, made | {"settings": settings})
        return made

    def _pair(self, folder: Path, number: int) -> dict[str, Any]:
        pair, exams, numbers = self.draw(number)
        for name, exam in zip(("prior", "current"), exams, strict=True):
            _save(folder / f"{name}_{number:02d}.npz", reduced(exam, self.registration.spacing_mm))
        return {"pair": number} | evaluate_pair(pair, exams, numbers, self.registration, self.limits, self.matching)

    def draw(self, number: int) -> tuple[PhantomPair, tuple[Exam, Exam], tuple[list[int], list[int]]]:
        """Pair `number`: exams whose MCs are the labelled ones, and the number of each of these MCs in the pair."""
        side, view = SIDES[number % 4]
        options: dict[str, Any] = {"view": view, "laterality": side, "density": DENSITIES[(number // 4 + number) % 4]}
        options |= {"shape": tuple(self.shape), "spacing_mm": self.spacing_mm}
        pair = sample_pair(np.random.default_rng([self.seed, number]), self.phantoms, **options)
        specs, known = (pair.prior, pair.current.spec), (pair.prior_numbers, pair.current_numbers)
        made = [
            _exam(phantom, spec, numbers, f"P{number:02d}")
            for phantom, spec, numbers in zip(pair.render(), specs, known, strict=True)
        ]
        return pair, (made[0][0], made[1][0]), (made[0][1], made[1][1])

    def _wrong(self, folder: Path, number: int, kind: str) -> dict[str, Any]:
        other = WRONG[kind](number)
        prior, current = (_load(folder / f"{name}_{k:02d}.npz") for name, k in (("prior", number), ("current", other)))
        tags = [_identity(k if kind == "other patient" else number, k) for k in (number, other)]
        by_tags = compare(
            replace(prior, identity=tags[0]), replace(current, identity=tags[1]), None, self.limits, self.matching
        )
        if kind == "other breast":  # as if it had been mirrored: else the side of the chest wall gives it away
            current = replace(current, image=current.image[:, ::-1].copy(), breast=current.breast[:, ::-1].copy())
        without = compare(prior, current, self.registration, self.limits, self.matching)
        return {
            "prior": number,
            "current": other,
            "kind": kind,
            "refused_by_tags": by_tags.status == REFUSED,
            "refused_without_tags": without.status == REFUSED,
            "reasons": [*by_tags.reasons, *without.reasons],
            "quality": None if without.quality is None else asdict(without.quality),
        }


def evaluate_pair(
    pair: PhantomPair,
    exams: tuple[Exam, Exam],
    numbers: tuple[Sequence[int], Sequence[int]],
    registration: Registration,
    limits: QualityLimits,
    matching: MatchingRule,
) -> dict[str, Any]:
    """Figures of one true pair; `numbers` are those of the exams' MCs in the pair, in the order of their ids."""
    start = time.process_time()
    comparison = compare(*exams, registration, limits, matching)
    seconds = round(time.process_time() - start, 2)
    found = {"seconds": seconds, "prior": len(numbers[0]), "current": len(numbers[1]), "status": comparison.status}
    if comparison.status != COMPARED or comparison.quality is None or comparison.to_current is None:
        return found | {"mcs": len(numbers[0]) + len(numbers[1]), "right": 0, "reasons": list(comparison.reasons)}
    places = [dict(zip(known, exam.points_mm(), strict=True)) for known, exam in zip(numbers, exams, strict=True)]
    shared = sorted(places[0].keys() & places[1].keys())
    if shared:
        mapped = comparison.to_current(np.array([places[0][number] for number in shared]))
        residual = np.hypot(*(mapped - [places[1][number] for number in shared]).T)
        found["residual_mm"] = round(float(np.median(residual)), 3)
    return found | asdict(comparison.quality) | score(comparison.traces, *numbers, pair.states)


def score(
    traces: Sequence[Trace], prior: Sequence[int], current: Sequence[int], states: Mapping[int, str]
) -> dict[str, int]:
    """Count what is right, by MC of either exam; `prior` and `current` are the true numbers of ids 1, 2, ....

    Right is an MC that is matched with itself, or with none if the other exam does not show it.
    """
    both = set(prior) & set(current)
    found = dict.fromkeys(("right", "new_found", "gone_found", "unchanged_found", "grown_found"), 0)
    for entry in traces:
        first = None if entry.prior_id is None else prior[entry.prior_id - 1]
        second = None if entry.current_id is None else current[entry.current_id - 1]
        if entry.status in MATCHED and first == second:
            found["right"] += 2
            found["unchanged_found"] += entry.status == UNCHANGED and states[first or 0] == "same"
            found["grown_found"] += entry.status == GROWN and states[first or 0] == "grown"
        elif entry.status not in MATCHED:
            found["right"] += (first or second) not in both
        found["new_found"] += entry.status == NEW
        found["gone_found"] += entry.status == GONE
    hidden = {name: sum(e.status == OUT_OF_VIEW and getattr(e, name) is not None for e in traces) for name in _IDS}
    found |= {"mcs": len(prior) + len(current), "new": len(current) - len(both) - hidden["current_id"]}
    found["gone"] = len(prior) - len(both) - hidden["prior_id"]
    found["unchanged"] = sum(states[number] == "same" for number in both)
    return found | {"grown": sum(states[number] == "grown" for number in both)}


def summary_of(rows: Sequence[Mapping[str, Any]], refusals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures over all pairs."""
    done = [row for row in rows if row["status"] == COMPARED]

    def share(part: str, whole: str, among: Sequence[Mapping[str, Any]] = done) -> float | None:
        total = sum(row[whole] for row in among)
        return round(sum(row[part] for row in among) / total, 4) if total else None

    within = [
        all(abs(row[f"{name}_found"] - row[name]) <= 1 + COUNT_BOUND * row[name] for name in ("new", "gone"))
        for row in done
    ]
    return {
        "pairs": len(rows),
        "pairs compared": len(done),
        "MCs of both exams": sum(row["mcs"] for row in rows),
        "share of MCs right": share("right", "mcs", rows),
        "pairs with new and gone counts within bounds": sum(within),
        "share of unchanged MCs called so": share("unchanged_found", "unchanged"),
        "share of grown MCs called so": share("grown_found", "grown"),
        "median residual of the registration, mm": _median(row["residual_mm"] for row in done if "residual_mm" in row),
        "least overlap": min((row["overlap"] for row in done), default=None),
        "least correlation": min((row["correlation"] for row in done), default=None),
        "most seconds of one pair (processor time)": max((row["seconds"] for row in rows), default=None),
        "wrong pairs": len(refusals),
        "refused by tags": sum(entry["refused_by_tags"] for entry in refusals),
        "refused without tags": sum(entry["refused_without_tags"] for entry in refusals),
        "highest correlation of a wrong pair": max(
            (entry["quality"]["correlation"] for entry in refusals if entry["quality"]), default=None
        ),
    }


_IDS = ("prior_id", "current_id")


def _median(values: Any) -> float | None:
    known = list(values)
    return round(float(np.median(known)), 3) if known else None


def _cells(entry: Mapping[str, Any]) -> list[Any]:
    words = [f"{entry['prior']} / {entry['current']}: {entry['kind']}"]
    words += ["yes" if entry[key] else "no" for key in ("refused_by_tags", "refused_without_tags")]
    return [*words, "; ".join(entry["reasons"])]


def _exam(phantom: Phantom, spec: PhantomSpec, numbers: Sequence[int], patient: str) -> tuple[Exam, list[int]]:
    spacing = (spec.spacing_mm, spec.spacing_mm)
    image = phantom.image.astype(np.float32) / np.float32(2**spec.presentation.bits - 1)
    labels = phantom.instances.astype(np.int32)
    findings = measure_objects(labels, np.ones(labels.max(initial=0) + 1), spacing)
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]).tolist()
    identity = {"patient_id": patient, "laterality": spec.laterality, "view": spec.view}
    exam = Exam(patient, image, breast_mask(image, spec.spacing_mm), spacing, findings, identity)
    return exam, [numbers[place] for place in present]


def _identity(patient: int, pair: int) -> dict[str, str]:
    side, view = SIDES[pair % 4]
    return {"patient_id": f"P{patient:02d}", "laterality": side, "view": view}


def _save(path: Path, exam: Exam) -> None:
    content = {"image": exam.image.astype(np.float16), "breast": exam.breast, "spacing": np.array(exam.spacing_mm)}
    write_atomically(path, lambda temporary: np.savez_compressed(temporary, **content))  # type: ignore[arg-type]


def _load(path: Path) -> Exam:
    with np.load(path, allow_pickle=False) as content:
        row_mm, col_mm = content["spacing"].tolist()
        return Exam(path.stem, content["image"].astype(np.float32), content["breast"], (row_mm, col_mm))
