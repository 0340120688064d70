"""What holds for all DICOM outputs: they are repeatable, tell no more than they may, and pass the validators."""

import shutil
import subprocess
import warnings

import pytest

pytest.importorskip("highdicom")

from pydicom import dcmread
from pydicom.uid import UID

from scripts.common.identity import Identity
from scripts.outputs.dicom.cad_sr import cad_report, write_cad_report
from scripts.outputs.dicom.document import write
from scripts.outputs.dicom.mammogram import failed_mammogram, is_dicom_input
from scripts.outputs.dicom.measurement_report import measurement_report, write_measurement_report
from scripts.outputs.dicom.seg import write_labelmap, write_segmentation
from scripts.outputs.dicom.writers import DICOM_WRITERS
from tests.outputs.dicom.drawn import NOW, drawn_item, mammogram_file

WRITERS = {
    "segmentation.dcm": write_segmentation,
    "segmentation_labelmap.dcm": write_labelmap,
    "report_sr.dcm": write_measurement_report,
    "cad_sr.dcm": write_cad_report,
}
every_writer = pytest.mark.parametrize(("name", "write_result"), WRITERS.items(), ids=list(WRITERS))


def test_the_table_of_writers_names_them_all(tmp_path):
    item = drawn_item(mammogram_file(tmp_path), clusters=True)
    assert [name for name, _ in DICOM_WRITERS.values()] == list(WRITERS)
    classes = [
        dcmread(write_result(tmp_path / name, item)).SOPClassUID.keyword
        for name, write_result in DICOM_WRITERS.values()
    ]
    assert classes[0] == "SegmentationStorage" and classes[2:] == ["ComprehensiveSRStorage", "MammographyCADSRStorage"]


@every_writer
def test_a_second_run_writes_the_same_bytes(tmp_path, name, write_result):
    file = mammogram_file(tmp_path)
    first, second = (
        write_result(tmp_path / run / name, drawn_item(file, clusters=True), NOW).read_bytes() for run in ("a", "b")
    )
    assert first == second
    moved = tmp_path / "elsewhere.dcm"
    shutil.copy(file, moved)
    assert write_result(tmp_path / name, drawn_item(moved, clusters=True), NOW).read_bytes() == first


@every_writer
def test_other_findings_are_another_instance(tmp_path, name, write_result):
    file = mammogram_file(tmp_path)
    items = drawn_item(file), drawn_item(file, marks={}), drawn_item(file, score_threshold=0.4)
    written = [dcmread(write_result(tmp_path / name, item, NOW)) for item in items]
    assert len({dataset.SOPInstanceUID for dataset in written}) == 3
    assert {dataset.StudyInstanceUID for dataset in written} == {dcmread(file).StudyInstanceUID}
    for dataset in written:
        assert UID(dataset.SOPInstanceUID).is_valid and (dataset.ContentDate, dataset.ContentTime) == (
            "20260102",
            "030405",
        )


@every_writer
def test_a_name_of_one_part_is_repeated_in_silence(tmp_path, name, write_result):
    file = mammogram_file(tmp_path)
    source = dcmread(file)
    source.PatientName = "Phantom"
    source.save_as(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dcmread(write_result(tmp_path / name, drawn_item(file), NOW)).PatientName == "Phantom"
        failed = failed_mammogram(file, "HDoGReg")
        assert cad_report([failed]).PatientName == measurement_report(failed).PatientName == "Phantom"


@every_writer
@pytest.mark.parametrize("mode", ["pseudonym", "none"])
def test_hidden_identity_stays_hidden(tmp_path, name, write_result, mode):
    (tmp_path / "key").write_text("a secret of more than 16 bytes")
    identity = Identity(mode, str(tmp_path / "key") if mode == "pseudonym" else "")
    file = mammogram_file(tmp_path, patient_id="JANE-DOE-7")
    source, item = dcmread(file), drawn_item(file, clusters=True)
    item["report"] = identity.report(item["report"], "image-00001")
    path = write_result(tmp_path / name, item, NOW)
    written, dataset = path.read_bytes(), dcmread(path)
    secrets = ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate")
    for secret in (*(str(source[keyword].value) for keyword in (*secrets, "PatientBirthDate")), "JANE", file.name):
        assert secret.encode() not in written
    assert (
        dataset.PatientIdentityRemoved == "YES" and dataset.PatientName == "" and UID(dataset.StudyInstanceUID).is_valid
    )
    assert dataset.PatientID == (identity.pseudonym("JANE-DOE-7") if mode == "pseudonym" else "")
    if mode == "pseudonym":
        assert dataset.StudyInstanceUID == identity.uid(source.StudyInstanceUID)


def test_a_failed_image_hides_its_patient_too(tmp_path):
    file = mammogram_file(tmp_path, patient_id="JANE-DOE-7")
    image = failed_mammogram(file, "HDoGReg", Identity("none"), "image-00001")
    written = write(tmp_path / "cad_sr.dcm", cad_report([image]), NOW).read_bytes()
    assert b"JANE" not in written and str(dcmread(file).SOPInstanceUID).encode() not in written


@every_writer
def test_names_in_other_scripts(tmp_path, name, write_result):
    file = mammogram_file(tmp_path)
    source = dcmread(file)
    source.SpecificCharacterSet, source.PatientName = ["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"
    source.save_as(file)
    dataset = dcmread(write_result(tmp_path / name, drawn_item(file), NOW))
    assert str(dataset.PatientName) == "Yamada^Tarou=山田^太郎"


@every_writer
def test_other_inputs_are_refused_in_words(tmp_path, name, write_result):
    item = drawn_item(mammogram_file(tmp_path))
    assert is_dicom_input(item)
    item["image"].meta |= {"file_format": "png", "sop_uid": "", "filename_or_obj": "a.png"}
    assert not is_dicom_input(item)
    with pytest.raises(ValueError, match=r"got '\.png \(png\)'; want a DICOM input with a SOP instance UID"):
        write_result(tmp_path / name, item, NOW)
    assert not (tmp_path / name).exists()


def written(folder, options):
    """The reports and the segmentation of an item, or the reports of a mammogram without a result."""
    if "attempted" in options:
        image = failed_mammogram(mammogram_file(folder), "HDoGReg", **options)
        yield write(folder / "cad_sr.dcm", cad_report([image]), NOW)
        yield write(folder / "report_sr.dcm", measurement_report(image), NOW)
        return
    failures = options.get("failures", [])
    item = drawn_item(mammogram_file(folder), **{key: value for key, value in options.items() if key != "failures"})
    item["report"] |= {"failures": [{"analysis": name, "reason": "broken"} for name in failures]}
    for name, write_result in WRITERS.items():
        yield write_result(folder / name, item, NOW)


ITEMS = {"nothing": {"marks": {}}, "kinds": {"kinds": True}, "cluster": {"clusters": True}}
ITEMS |= {"bins": {"presets": {"balanced": {"threshold": 0.8}, "sensitive": {"threshold": 0.5}}}}
ITEMS |= {"partly": {"failures": ["kinds", "clusters"]}, "partly nothing": {"failures": ["kinds"], "marks": {}}}
ITEMS |= {"failed": {"attempted": True}, "not attempted": {"attempted": False}}


@pytest.mark.parametrize("options", ITEMS.values(), ids=list(ITEMS))
@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="wants Debian's dicom3tools")
def test_dciodvfy_finds_nothing(tmp_path, options):
    for path in written(tmp_path, options):
        if path.name != "segmentation_labelmap.dcm":  # which dciodvfy of 2022 does not know
            told = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False).stderr
            assert len(told.splitlines()) == 1, told  # the name of the object


@pytest.mark.parametrize("options", ITEMS.values(), ids=list(ITEMS))
@pytest.mark.skipif(not shutil.which("dsrdump"), reason="wants Debian's dcmtk")
def test_dsrdump_accepts_reports(tmp_path, options):
    for path in written(tmp_path, options):
        if path.name not in ("report_sr.dcm", "cad_sr.dcm"):
            continue
        done = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=False)
        told = [line for line in done.stderr.splitlines() if "template constraints not yet supported" not in line]
        assert done.returncode == 0 and not told
