"""Studies of a folder of results: one outcome in JSON, page and CAD report, whatever failed."""

import json
import shutil
import subprocess

import jsonschema
import pytest
from monai.bundle import ConfigParser
from pydicom import dcmread

from scripts.command import main
from scripts.common.identity import Identity
from scripts.outputs.dicom.reading import read_result
from scripts.outputs.study.studies import Studies
from tests.outputs.dicom.drawn import mammogram_file
from tests.outputs.study.made import add_failure, add_result, four_views, written
from tests.outputs.study.made_follow_up import add_follow_up


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def files(tmp_path):
    return four_views(tmp_path / "in")


def only(studies):
    (study,) = studies.values()
    return study


def page_of(output, study):
    return (output / "studies" / study["study"] / "study.html").read_text()


def cad_of(output, study):
    return output / "studies" / study["study"] / "cad_sr.dcm"


def failed_images(report):
    """Places in the library that Failed Detections refer to."""

    def walk(item, inside):
        for child in item.get("ContentSequence", []):
            name = child.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in child else ""
            if inside and "ReferencedContentItemIdentifier" in child:
                yield child.ReferencedContentItemIdentifier[-1]
            yield from walk(child, inside or name == "111025")

    return set(walk(report, False))


def test_four_views_are_one_study(output, files, root):
    reports = {name: add_result(output, file) for name, file in files.items()}
    study = only(written(output))
    jsonschema.validate(study, json.loads((root / "docs" / "study_schema.json").read_text()))
    assert study["grouped_by"] == "study UID" and study["study_uid"] == dcmread(files["RCC"]).StudyInstanceUID
    assert study["hanging"] == [["RCC1", "LCC1"], ["RMLO1", "LMLO1"]]
    assert study["outcome"]["code"] == "111242" and study["summary"]["images_done"] == 4
    assert study["summary"]["count"] == sum(report["summary"]["count"] for report in reports.values()) == 28
    assert study["operating_point"]["presets"] == {"sensitive": 0.1, "balanced": 0.5, "specific": 0.8}
    assert [(one["image_id"], one["microcalcifications"]) for one in study["clusters"]] == [
        (name, 3) for name in ("RCC1", "LCC1", "RMLO1", "LMLO1")
    ]
    assert all((output / "studies" / study["study"] / one["results"]).resolve().is_dir() for one in study["images"])
    result = read_result(cad_of(output, study))
    assert (result.succeeded, result.found) == ("all", True)
    for image, name in zip(result.images, ("RCC", "LCC", "RMLO", "LMLO"), strict=True):
        assert image.sop_uid == dcmread(files[name]).SOPInstanceUID
        told = {mark["tracking_uid"]: mark for mark in reports[name]["microcalcifications"]}
        assert {image.tracking_uids[mc.id]: mc.area_px for mc in image.findings} == {
            uid: mark["area_px"] for uid, mark in told.items()
        }
        assert [cluster["members"] for cluster in image.clusters] == [[1, 3, 4]]


OUTCOMES = {
    "all without": ("nothing", "nothing", "111241", "DONE"),
    "all with": ("found", "nothing", "111242", "DONE"),
    "some without": ("nothing", "failed", "111243", "INCOMPLETE"),
    "some with": ("found", "failed", "111244", "INCOMPLETE"),
    "none": ("failed", "failed", "111245", "FAILED"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_five_outcomes_are_alike_in_json_page_and_report(output, files, name):
    *images, code, word = OUTCOMES[name]
    for file, status in zip((files["RCC"], files["LCC"]), images, strict=True):
        if status == "failed":
            add_failure(output, file)
        else:
            add_result(output, file, **({} if status == "found" else {"marks": {}, "clusters": False}))
    study = only(written(output))
    assert study["outcome"]["code"] == code
    page = page_of(output, study)
    assert f"<b>{word}</b>" in page and study["outcome"]["words"] in page
    assert page.count("Nothing is known of this image.") == images.count("failed")
    result = read_result(cad_of(output, study))
    assert (result.succeeded, result.found) == (study["outcome"]["succeeded"], study["outcome"]["findings"])
    report = dcmread(cad_of(output, study))
    assert failed_images(report) == {n for n, status in enumerate(images, 1) if status == "failed"}
    assert report.CompletionFlag == ("COMPLETE" if word == "DONE" else "PARTIAL")
    statuses = {"nothing": "nothing found"}
    assert [one["status"] for one in study["images"]] == [statuses.get(status, status) for status in images]
    counts = [one["count"] for one in study["images"]]
    assert [count is None for count in counts] == [status == "failed" for status in images]


def test_a_failed_file_without_a_header_still_counts(output, files):
    for name in ("RCC", "LCC", "RMLO"):
        add_result(output, files[name], marks={}, clusters=False)
    files["LMLO"].write_bytes(b"rubbish")
    add_failure(output, files["LMLO"])
    study = only(written(output))
    assert study["outcome"]["code"] == "111243" and study["summary"] == {
        "images": 4,
        "images_done": 3,
        "count": 0,
        "clusters": 0,
    }
    report = dcmread(cad_of(output, study))
    result = read_result(cad_of(output, study))
    assert (result.succeeded, result.found, len(result.images)) == ("some", False, 3)
    assert report.CompletionFlag == "PARTIAL" and _silent(cad_of(output, study))


def test_a_failure_that_fits_no_study_is_told_on_every_page(output, tmp_path):
    for seed in (1, 2):
        add_result(output, four_views(tmp_path / "in", seed)["RCC"], marks={}, clusters=False)
    (tmp_path / "in" / "lost.dcm").write_bytes(b"rubbish")
    add_failure(output, tmp_path / "in" / "lost.dcm")
    studies = written(output)
    assert len(studies) == 3 and studies["lost"]["outcome"]["code"] == "111245"
    assert not (output / "studies" / "lost" / "cad_sr.dcm").exists()
    for study in studies.values():
        told = study["study"] != "lost"
        assert study["unassigned_failures"] == (["lost"] if told else [])
        assert ("could not be assigned" in page_of(output, study)) == told


def test_images_that_a_run_did_not_reach_are_not_done(output, files):
    add_result(output, files["RCC"], marks={}, clusters=False)
    images = [{"image": str(files[name]), "image_id": files[name].stem} for name in ("RCC", "LCC")]
    study = only(written(output, images=images))
    assert [one["status"] for one in study["images"]] == ["nothing found", "not attempted"]
    assert study["outcome"]["code"] == "111243" and "NOT ATTEMPTED" in page_of(output, study)
    assert (read_result(cad_of(output, study)).succeeded) == "some"


@pytest.mark.parametrize("damage", ["failure beside", "run report", "no JSON", "other schema"])
def test_a_failure_outweighs_what_looks_like_a_result(output, files, damage):
    add_result(output, files["RCC"], marks={}, clusters=False)
    add_result(output, files["LCC"], marks={}, clusters=False)
    findings = output / "LCC1" / "findings.json"
    if damage == "failure beside":
        add_failure(output, files["LCC"])
    elif damage == "run report":
        entry = {"image_id": "LCC1", "status": "failed", "file": str(files["LCC"]), "stage": "recording", "reason": "x"}
        run = {"schema": "microcalcification-run-2", "images": [entry], "state": "finished"}
        (output / "run_report.json").write_text(json.dumps(run))
    elif damage == "no JSON":
        findings.write_text(findings.read_text()[:100])
    else:
        findings.write_text('{"schema": "microcalcification-findings-3"}')
    images = [{"image": str(file), "image_id": file.stem} for file in (files["RCC"], files["LCC"])]
    study = only(written(output, images=images))
    assert [one["status"] for one in study["images"]] == ["nothing found", "failed"]
    assert study["outcome"]["code"] == "111243"


def test_a_second_run_writes_the_same_and_leaves_nothing_old(output, files):
    add_result(output, files["RCC"])
    first = only(written(output))
    uid = dcmread(cad_of(output, first)).SOPInstanceUID
    assert only(written(output)) == first and dcmread(cad_of(output, first)).SOPInstanceUID == uid
    second = only(written(output, outputs=["study"]))
    assert second == first
    assert [path.name for path in (output / "studies" / first["study"]).iterdir()] == ["study.json"]


def test_a_study_that_cannot_be_written_costs_no_other(output, tmp_path, caplog):
    for seed in (1, 2):
        add_result(output, four_views(tmp_path / "in", seed)["RCC"])
    assert len(written(output)) == 2
    report = json.loads((output / "RCC1" / "findings.json").read_text())
    del report["clusters"][0]["members"]
    (output / "RCC1" / "findings.json").write_text(json.dumps(report))
    assert Studies(output).write() == 1
    assert len(list(output.glob("studies/*/study.json"))) == len(list(output.glob("studies/*/study.html"))) == 1
    assert "cannot be written: KeyError: 'members'" in caplog.text
    with pytest.raises(SystemExit) as ended:
        Studies(output).run()
    assert ended.value.code == 1


def test_a_mammogram_that_is_gone_leaves_page_and_json_but_no_report(output, files):
    add_result(output, files["RCC"])
    files["RCC"].unlink()
    study = only(written(output))
    assert study["outcome"]["code"] == "111242" and "no picture: " in page_of(output, study)
    assert not cad_of(output, study).exists()


def test_without_a_label_map_there_are_no_outlines_but_centres(output, files):
    add_result(output, files["RCC"])
    (output / "RCC1" / "instances.nii.gz").unlink()
    study = only(written(output))
    marks = dcmread(cad_of(output, study))
    assert "Center" in str(marks) and '"outlines":{}' in page_of(output, study)


def test_pseudonyms_hold_studies_and_their_failures_together(output, files, tmp_path):
    (tmp_path / "key").write_text("a secret of many letters")
    identity = Identity("pseudonym", str(tmp_path / "key"))
    images = [{"image": str(file), "image_id": identity.image_id(file.stem, 0)} for file in files.values()]
    for item, file in zip(images, files.values(), strict=True):
        make = add_failure if file is files["LMLO"] else add_result
        make(output, file, item["image_id"], identity=identity)
    study = only(written(output, images=images, identity=identity))
    assert study["summary"]["images"] == 4 and study["outcome"]["code"] == "111244"
    person = dcmread(files["RCC"])
    texts = [path.read_bytes() for path in output.rglob("*") if path.is_file()]
    for secret in (person.PatientID, person.StudyInstanceUID, person.SOPInstanceUID, str(person.PatientName), "RCC1"):
        assert not any(secret.encode() in text for text in texts)


def test_identity_none_leaves_each_image_alone(output, files):
    identity = Identity("none")
    images = [{"image": str(file), "image_id": identity.image_id("", n)} for n, file in enumerate(files.values(), 1)]
    for item, file in zip(images, files.values(), strict=True):
        add_result(output, file, item["image_id"], identity=identity)
    studies = written(output, images=images, identity=identity)
    assert len(studies) == 4 and all(len(study["images"]) == 1 for study in studies.values())
    assert all(cad_of(output, study).is_file() for study in studies.values())


def test_wrong_arguments_and_folders_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"output_dir: got .*; want a folder with results of a run"):
        Studies(tmp_path).write()
    with pytest.raises(ValueError, match="studies::outputs: got 'pdf'; want some of study, page, cad_sr"):
        Studies(tmp_path, outputs=["pdf"])
    assert Studies(tmp_path).after_run() == 0


def _silent(path):
    for tool in ("dciodvfy", "dsrdump"):
        if shutil.which(tool):
            told = subprocess.run([tool, str(path)], capture_output=True, text=True)
            lines = [line for line in told.stderr.splitlines() if line.strip()]
            if tool == "dsrdump":
                lines = [line for line in lines if "not yet supported" not in line]
            else:
                lines = [line for line in lines if line != "MammographyCADSR"]
            assert told.returncode == 0 and not lines, f"{tool}: {lines}"
    return True


def test_validators_are_silent(output, files):
    for name, file in files.items():
        if name == "RMLO":
            add_failure(output, file)
        else:
            add_result(output, file)
    assert _silent(cad_of(output, only(written(output))))


@pytest.mark.parametrize("status", ["compared", "cannot be compared"])
def test_a_follow_up_stands_with_its_image(output, files, tmp_path, root, status):
    current = add_result(output, files["RCC"])
    add_result(output, files["LCC"])
    before = mammogram_file(tmp_path, "R", "CC", seed=9)
    prior = add_result(tmp_path / "prior", before)
    add_follow_up(tmp_path / "follow_up", before, prior, current, status)
    study = only(written(output, follow_ups=tmp_path / "follow_up"))
    jsonschema.validate(study, json.loads((root / "docs" / "study_schema.json").read_text()))
    (told,) = study["follow_up"]
    assert (told["image_id"], told["image"], told["prior"]) == ("RCC1", "R CC", before.name)
    assert told["summary"]["new"] == 5 and told["status"] == status
    text = page_of(output, study)
    data = json.loads(text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
    priors = [view for view in data["views"] if view["prior"]]
    assert len(priors) == (status == "compared")
    for view in priors:
        assert view["image_id"] == "RCC1" and view["label"] == f"prior exam R CC ({before.name})"
        gone = next(place for place in view["trace"] if place["status"] == "gone")
        assert gone["prior"] == [prior["microcalcifications"][1][key] for key in ("row", "col")]
        assert gone["current"] is None and "p0-0-0-0" in text


def test_the_command_and_the_config_do_the_same(output, files, root, capsys):
    for file in files.values():
        add_result(output, file)
    command = ["study", str(output), "--input", str(files["RCC"].parent)]
    assert main(command) == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert "1 of 1 studies written" in told
    (page,) = output.glob("studies/*/study.html")
    assert main([*command, "--outputs", "study"]) == 0 and not page.exists()
    assert main(["study", str(root / "docs")]) == 2
    assert "output_dir: got" in capsys.readouterr().err.splitlines()[-1]
    assert main([*command, "--follow-ups", str(root / "docs")]) == 2
    assert "follow_ups: got" in capsys.readouterr().err.splitlines()[-1]
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    parser["input_dir"], parser["output_dir"] = str(files["RCC"].parent), str(output)
    studies, default = parser.get_parsed_content("studies"), Studies(str(output))
    assert [item["image_id"] for item in studies.images] == sorted(file.stem for file in files.values())
    for name in ("outputs", "follows_run", "group_files_by", "follow_ups", "pictures", "identity", "reading"):
        value = getattr(studies, name)
        assert (tuple(value) if name == "outputs" else value) == getattr(default, name), name
    assert studies.write() == 0 and page.exists()
