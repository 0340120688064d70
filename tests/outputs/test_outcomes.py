"""Every outcome in every output: "found nothing", "failed" and what lies between cannot be mixed up in any of them."""

import csv
import json
import re
import shutil
import sys

import jsonschema
import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader
from PIL import Image
from pydicom import dcmread

from scripts.common.identity import Identity
from scripts.common.outcomes import (
    DONE,
    FAILED,
    FOUND,
    NOT_ATTEMPTED,
    NOTHING_FOUND,
    OUTCOMES,
    PARTLY_FOUND,
    PARTLY_NOTHING_FOUND,
    WITH_RESULT,
    exit_status,
    together,
)
from scripts.data.labels.nrrd import read_nrrd_mask
from scripts.data.lists.folder import TolerantDataset, list_mammograms
from scripts.findings.analysis import FindingsAnalysis
from scripts.findings.cluster_findings import ClusterAnalysis
from scripts.findings.clusters import SingleLinkageClusters
from scripts.inference.evaluator import TolerantEvaluator
from scripts.outputs.dicom.codes import CODE_OF
from scripts.outputs.dicom.reading import read_mask, read_result
from scripts.outputs.manifest import verify
from scripts.outputs.run_report import RunReport
from scripts.outputs.writer import WRITERS, FindingsWriter
from scripts.transforms import LoadMammogramd, MeasureFindingsd, RestoreFileGeometryd
from tests.outputs.dicom.drawn import MARKS, SHAPE, drawn_labels, mammogram_file
from tests.outputs.study.made import written

CLUSTERS = ClusterAnalysis(SingleLinkageClusters(distance_mm=2.0, least=3))
EMPTY = (NOTHING_FOUND, PARTLY_NOTHING_FOUND)


class Broken:
    """An analysis that fails."""

    def analyse(self, *given, **more):
        raise RuntimeError("broken on purpose")

    measure = analyse


ANALYSES = {
    PARTLY_FOUND: FindingsAnalysis(None, None, Broken()),
    PARTLY_NOTHING_FOUND: FindingsAnalysis(None, Broken(), CLUSTERS),
}


def one_run(folder, output_dir, outcome, identity=None, analyses=ANALYSES, outputs="all"):
    """A run over one DICOM file as the inference config makes it, whose objects are drawn; its exit status."""
    report = RunReport(output_dir, {"method": "drawn"}, progress=False, identity=identity)

    def measured(item):
        if outcome == FAILED:
            raise RuntimeError("broken on purpose")
        labels = drawn_labels({} if outcome in EMPTY else {n: MARKS[n] for n in (1, 2, 3, 4)})
        maps = {"instances": labels[None], "scores": np.array([0, 0.9, 0.6, 0.7, 0.8]), "map": (labels > 0)[None]}
        maps |= {"breast": torch.ones(1, *SHAPE, dtype=torch.bool)}
        analysis = analyses.get(outcome, FindingsAnalysis(None, None, CLUSTERS))
        item = MeasureFindingsd(method="HDoGReg", analysis=analysis)({**item, **maps})
        return RestoreFileGeometryd(keys="pred")(item)

    items = report.remaining(list_mammograms(folder, identity))
    evaluator = TolerantEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(TolerantDataset(items, LoadMammogramd()), batch_size=1),
        network=torch.nn.Identity(),
        inferer=lambda inputs, network: inputs,
        postprocessing=measured,
        val_handlers=[FindingsWriter(output_dir, outputs, identity, "HDoGReg"), report],
    )
    evaluator.run()
    try:
        report.finish()
    except SystemExit as end:
        return end.code
    return 0


def input_of(folder, outcome):
    """A mammogram that is refused or not."""
    folder.mkdir(parents=True)
    file = mammogram_file(folder, patient_id="JANE-DOE-7")
    if outcome == NOT_ATTEMPTED:
        raw = dcmread(file)
        raw.SOPClassUID = raw.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2.1"
        raw.PresentationIntentType = "FOR PROCESSING"
        raw.save_as(file)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Outcome -> exit status, folder of the run, folder of the image."""
    pytest.importorskip("highdicom")
    made = {}
    for outcome in OUTCOMES:
        root = tmp_path_factory.mktemp(outcome.replace(" ", "_").replace(",", ""))
        status = one_run(input_of(root / "in", outcome), root / "out", outcome)
        (image,) = [path for path in (root / "out").iterdir() if path.is_dir()]
        made[outcome] = status, root / "out", image
    return made


def files_of(image):
    return {path.name for path in image.iterdir()}


every_outcome = pytest.mark.parametrize("outcome", OUTCOMES)


@every_outcome
def test_exit_status_run_report_and_table_of_images(runs, outcome):
    status, out, _ = runs[outcome]
    expected = 0 if outcome in DONE else 3 if outcome in WITH_RESULT else 1
    report = json.loads((out / "run_report.json").read_text())
    (entry,) = report["images"]
    assert status == report["exit_status"] == expected
    assert entry["status"] == report["outcome"] == outcome
    counts = [report[f"images_{name}"] for name in ("done", "partly_failed", "failed", "not_attempted")]
    partly = outcome in (PARTLY_FOUND, PARTLY_NOTHING_FOUND)
    assert counts == [outcome in WITH_RESULT, partly, outcome == FAILED, outcome == NOT_ATTEMPTED]
    with (out / "images.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["status"] == outcome and row["count"] == {FOUND: "4", PARTLY_FOUND: "4"}.get(
        outcome, "0" if outcome in EMPTY else ""
    )
    assert verify(out) == []


@every_outcome
def test_json(runs, root, outcome):
    image = runs[outcome][2]
    name = "findings" if outcome in WITH_RESULT else "failure"
    assert ("findings.json" in files_of(image)) == (outcome in WITH_RESULT) != ("failure.json" in files_of(image))
    content = json.loads((image / f"{name}.json").read_text())
    jsonschema.validate(content, json.loads((root / "docs" / f"{name}_schema.json").read_text()))
    assert content["status"] == outcome
    if outcome == PARTLY_FOUND:
        assert content["failures"] == [{"analysis": "clusters", "reason": "RuntimeError: broken on purpose"}]
        assert content["clusters"] is content["summary"]["clusters"] is None and content["summary"]["count"] == 4
    if name == "failure":
        assert content["reason"] and content["method"] == "HDoGReg"
    other = dict(content, status=NOTHING_FOUND if outcome != NOTHING_FOUND else FAILED)
    if outcome not in (FOUND, NOTHING_FOUND):  # the schema, too, tells them apart
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(other, json.loads((root / "docs" / f"{name}_schema.json").read_text()))


@every_outcome
def test_study_page_and_report(runs, root, outcome):
    """The same image as a study: its JSON, page and CAD report say the same, in the words that a reader sees."""
    out = runs[outcome][1]
    ((name, study),) = written(out).items()
    folder = out / "studies" / name
    jsonschema.validate(study, json.loads((root / "docs" / "study_schema.json").read_text()))
    (image,) = study["images"]
    assert study["outcome"]["status"] == image["status"] == outcome
    assert study["outcome"]["code"] == image["outcome"] == CODE_OF[outcome].value
    done, found = outcome in WITH_RESULT, outcome in (FOUND, PARTLY_FOUND)
    assert study["summary"]["images_done"] == int(done)
    assert image["count"] == (None if not done else 4 if found else 0)
    assert bool(image["reason"]) == (outcome not in DONE)
    headline = re.search(r'id="outcome".*?<b>(\w+)</b>(.*?)</p>', (folder / "study.html").read_text(), re.DOTALL)
    assert headline[1] == ("DONE" if outcome in DONE else "INCOMPLETE" if done else "FAILED")
    assert ("nothing found" in headline[2]) == (outcome in EMPTY)
    assert ("microcalcifications found" in headline[2]) == found
    assert read_result(folder / "cad_sr.dcm").outcome == outcome
    shutil.rmtree(out / "studies")


@every_outcome
def test_csv(runs, outcome):
    files = files_of(runs[outcome][2])
    if outcome in WITH_RESULT:
        with (runs[outcome][2] / "findings.csv").open() as file:
            assert len(list(csv.DictReader(file))) == (4 if outcome in (FOUND, PARTLY_FOUND) else 0)
    assert ("findings.csv" in files) == (outcome in WITH_RESULT)
    assert ("clusters.csv" in files) == (outcome in (*DONE, PARTLY_NOTHING_FOUND))  # absent where clusters failed


@every_outcome
def test_masks_and_segmentations_are_of_results_only(runs, outcome):
    image, names = runs[outcome][2], ("mask.nii.gz", "instances.nii.gz", "map.nii.gz", "mask.nrrd")
    names += ("instances.seg.nrrd", "segmentation.dcm", "segmentation_labelmap.dcm", "heat_map.png")
    assert {name in files_of(image) for name in names} == {outcome in WITH_RESULT}
    if outcome in WITH_RESULT:
        found = outcome in (FOUND, PARTLY_FOUND)
        assert bool(np.asarray(nibabel.load(image / "mask.nii.gz").dataobj).any()) == found
        assert bool(read_mask(image / "segmentation.dcm").any()) == found
        assert bool(read_nrrd_mask(image / "mask.nrrd", SHAPE).any()) == found
        assert bool(read_mask(image / "segmentation_labelmap.dcm").any()) == found
        assert bool(np.asarray(nibabel.load(image / "instances.nii.gz").dataobj).any()) == found


@every_outcome
def test_picture(runs, outcome):
    pixels = np.asarray(Image.open(runs[outcome][2] / "picture.png")).astype(int)
    warned = (np.abs(pixels - (255, 45, 45)).max(axis=2) < 40).sum()
    assert (warned > 100) == (outcome not in DONE)


@every_outcome
@pytest.mark.parametrize("name", ["report_sr.dcm", "cad_sr.dcm"])
def test_structured_reports(runs, outcome, name):
    result = read_result(runs[outcome][2] / name)
    assert result.outcome == outcome
    (image,) = result.images
    assert len(image.findings) == (4 if outcome in (FOUND, PARTLY_FOUND) else 0)


def test_the_matrix_is_complete(runs):
    """Whatever a result can be written as, is looked at above."""
    everything = {file for file, _ in WRITERS.values()}
    assert files_of(runs[FOUND][2]) == everything
    assert files_of(runs[FAILED][2]) == {"failure.json", "picture.png", "report_sr.dcm", "cad_sr.dcm"}
    assert files_of(runs[NOT_ATTEMPTED][2]) == files_of(runs[FAILED][2])


def test_what_failed_in_part_is_done_again_and_leaves_nothing_behind(tmp_path):
    folder = input_of(tmp_path / "in", PARTLY_FOUND)
    assert one_run(folder, tmp_path / "out", PARTLY_FOUND, outputs=["table", "clusters"]) == 3
    assert one_run(folder, tmp_path / "out", FAILED, outputs=["table", "cad_sr"]) == 1
    (image,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert files_of(image) == {"failure.json", "cad_sr.dcm"}
    assert one_run(folder, tmp_path / "out", PARTLY_FOUND, analyses={}, outputs=["table", "clusters"]) == 0
    assert files_of(image) == {"findings.json", "findings.csv", "clusters.csv"} and verify(tmp_path / "out") == []


def test_a_failed_image_hides_its_patient(tmp_path):
    pytest.importorskip("highdicom")
    folder = input_of(tmp_path / "in", FAILED)
    secret = dcmread(next(folder.iterdir())).SOPInstanceUID.encode()
    assert one_run(folder, tmp_path / "out", FAILED, Identity("none")) == 1
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert b"JANE" not in written and secret not in written and b"LMLO" not in written


def test_files_that_are_no_mammograms_have_a_record_but_no_report(tmp_path):
    folder = input_of(tmp_path / "in", FOUND)
    (file,) = folder.iterdir()
    other = dcmread(file)
    other.SOPClassUID, other.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
    other.save_as(file)
    assert one_run(folder, tmp_path / "out", FOUND, outputs=["picture", "cad_sr", "report_sr"]) == 1
    (image,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert files_of(image) == {"failure.json", "picture.png"}
    assert json.loads((image / "failure.json").read_text())["status"] == NOT_ATTEMPTED


def test_highdicom_is_not_loaded_where_no_dicom_is_written(tmp_path, root):
    import subprocess

    words = "import sys, scripts.outputs.writer; sys.exit('highdicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], cwd=root, check=False).returncode == 0


def test_outcomes_together():
    assert together([FOUND, NOTHING_FOUND]) == FOUND and together([NOTHING_FOUND] * 2) == NOTHING_FOUND
    assert together([FAILED, NOTHING_FOUND]) == PARTLY_NOTHING_FOUND == together([NOT_ATTEMPTED, NOTHING_FOUND])
    assert together([FOUND, FAILED]) == PARTLY_FOUND == together([PARTLY_FOUND, NOTHING_FOUND])
    assert together([FAILED, NOT_ATTEMPTED]) == FAILED and together([NOT_ATTEMPTED]) == NOT_ATTEMPTED
    assert together([]) == NOTHING_FOUND and exit_status([]) == 0
    assert exit_status([PARTLY_FOUND, FAILED]) == 1 and exit_status([PARTLY_FOUND, FOUND]) == 3
