"""MONAI Label 0.8.5, its own server and client: masks as the command line's, labels, training, scoring.

make test-server
"""

import hashlib
import shutil
import time

import numpy as np
import pytest

from tests.server.conftest import OVERLAYS
from tests.server.studies import KINDS, geometry_of, mask_of

pytestmark = pytest.mark.server


def weights_of(server):
    return hashlib.sha256((server.model / "models" / "model.pt").read_bytes()).hexdigest()


def finished(status, tries=240):
    """The last task of a kind once it has come to its end."""
    for _ in range(tries):
        task = status()
        if task["status"] in ("DONE", "ERROR", "STOPPED"):
            return task
        time.sleep(1)
    raise AssertionError(f"still {task['status']}")


def train(server, **options):
    server.client.train_start(server.name, {"max_epochs": 1, "val_split": 0, "device": "cpu", **options})
    return finished(server.client.train_status)


def test_it_says_what_it_is(server, studies):
    info = server.client.info()
    model = info["models"][server.name]
    assert model["labels"] == {"microcalcification": 1} and model["dimension"] == 2
    assert model["config"]["preset"] == "balanced"
    assert model["config"]["model_filename"] == ["model.pt", "centre_net.pt"]
    assert set(info["models"]) == {server.name, *OVERLAYS} == set(info["trainers"])
    assert server.name in info["scoring"] and info["datastore"]["total"] == len(studies.files)


@pytest.mark.parametrize("extension", ["", ".nii.gz", ".nrrd"], ids=["own suffix", ".nii.gz", ".nrrd"])
def test_masks_by_id_are_the_command_lines_pixel_for_pixel(server, studies, command_line, extension):
    wanted, lesions = command_line(), 0
    sizes = {mask.shape for mask in wanted.values()}
    assert len(sizes) >= 20 and all(rows != cols for rows, cols in sizes)
    for name, mask in wanted.items():
        file = studies.files[name]
        params = {"result_extension": extension} if extension else {}
        answer, facts = server.client.infer(server.name, name, params)
        assert answer.endswith(extension or KINDS[studies.kinds[name]]), (name, answer)
        np.testing.assert_array_equal(mask_of(answer), mask, err_msg=f"{name} {studies.kinds[name]}")
        assert facts["label_names"] == {"microcalcification": 1}
        if extension == ".nrrd":  # it lies on the image in a viewer
            np.testing.assert_allclose(geometry_of(answer), geometry_of(file), atol=1e-4, err_msg=studies.kinds[name])
        lesions += mask.any()
    assert lesions >= 20 and not wanted["clean"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_an_uploaded_image_a_session_and_a_file_give_the_same(server, studies, command_line, kind):
    name = next(name for name, of in studies.kinds.items() if of == kind and command_line()[name].any())
    file, wanted = str(studies.files[name]), command_line()[name]
    params = {"result_extension": ".nrrd"}
    uploaded = server.client.upload_image(file, f"uploaded_{kind}")["image"]
    session = server.client.create_session(file)["session_id"]
    answers = [
        server.client.infer(server.name, uploaded, params)[0],
        server.client.infer(server.name, "", params, session_id=session)[0],
        server.client.infer(server.name, "", params, file=file)[0],
    ]
    for answer in answers:
        np.testing.assert_array_equal(mask_of(answer), wanted)
    server.client.remove_session(session)


def test_nothing_found_is_a_mask_without_lesions(server, studies):
    answer, facts = server.client.infer(server.name, "clean", {"result_extension": ".nii.gz"})
    assert min(mask_of(answer).shape) > 200 and not mask_of(answer).any() and "latencies" in facts


def test_a_blank_image_is_an_error_and_no_empty_mask(server):
    from monailabel.client.client import MONAILabelClientException

    with pytest.raises(MONAILabelClientException) as error:
        server.client.infer(server.name, "blank", {})
    assert "Status: 500" in error.value.msg


def test_no_reading_process_is_left_behind_by_a_request(server):
    import psutil

    def readers():
        children = psutil.Process(server.pid).children(recursive=True)
        return [child for child in children if "reading_process" in " ".join(child.cmdline())]

    for _ in range(3):
        server.client.infer(server.name, "clean", {"result_extension": ".nii.gz"})
    assert len(readers()) <= 1, readers()


def test_a_preset_is_chosen_per_request(server, studies, command_line):
    changed = 0
    for name in list(studies.files)[:8]:
        answer, _ = server.client.infer(server.name, name, {"preset": "sensitive", "result_extension": ".nii.gz"})
        np.testing.assert_array_equal(mask_of(answer), command_line("sensitive")[name])
        changed += not np.array_equal(command_line("sensitive")[name], command_line()[name])
    assert changed
    answer, _ = server.client.infer(server.name, name, {"result_extension": ".nii.gz"})
    np.testing.assert_array_equal(mask_of(answer), command_line()[name])  # and is gone with it


def test_weights_of_another_network_are_an_error_and_no_garbage(server, root):
    from monailabel.client.client import MONAILabelClientException

    other = server.model / "models" / "slim_fcn.pt"
    shutil.copy(root / "models" / "slim_fcn.pt", other)
    try:
        with pytest.raises(MONAILabelClientException) as error:
            server.client.infer(server.name, "round00", {"model_filename": "slim_fcn.pt"})
        assert "Status: 500" in error.value.msg
    finally:
        other.unlink()


@pytest.mark.parametrize("model", OVERLAYS)
def test_another_method_is_another_model(server, studies, command_line, model):
    lesions = 0
    for name, mask in list(command_line(overlay=OVERLAYS[model]).items())[:8]:
        answer, _ = server.client.infer(model, name, {"result_extension": ".nii.gz"})
        np.testing.assert_array_equal(mask_of(answer), mask, err_msg=f"{name} {studies.kinds[name]}")
        lesions += mask.any()
    assert lesions


def test_labels_are_saved_and_two_trainings_change_the_weights(server, studies, command_line):
    """The second one has a new label; a third one has nothing new, and says so; a fourth one a corrected label."""
    wanted = command_line()
    of_kind = {
        kind: next(name for name, mask in wanted.items() if studies.kinds[name] == kind and mask.any())
        for kind in ("dicom_monochrome1", "nifti_2d", "png_16")
    }
    shipped = weights_of(server)
    first, second, third = of_kind.values()
    for name, extension in ((first, ".nrrd"), (second, ".nii.gz")):
        answer, _ = server.client.infer(server.name, name, {"result_extension": extension})
        server.client.save_label(name, answer)
        np.testing.assert_array_equal(mask_of(server.client.download_label(name, "final")), wanted[name])
    assert server.client.info()["datastore"]["completed"] == 2
    task = train(server)
    assert task["status"] == "DONE", "\n".join(task["details"])
    once = weights_of(server)
    assert once != shipped

    answer, _ = server.client.infer(server.name, third, {"result_extension": ".nrrd"})
    server.client.save_label(third, answer)
    task = train(server)
    assert task["status"] == "DONE", "\n".join(task["details"])
    twice = weights_of(server)
    assert twice != once and "starting anew from the given weights" in server.log.read_text()

    task = train(server)
    assert task["status"] == "DONE" and weights_of(server) == twice
    assert "nothing is trained" in "\n".join(task["details"])

    answer, _ = server.client.infer(server.name, first, {"result_extension": ".nrrd"})
    server.client.save_label(third, studies_label(studies, third, server, wanted[third]))
    assert train(server)["status"] == "DONE" and weights_of(server) != twice
    server.client.infer(server.name, first, {})  # with the new weights
    assert server.model.joinpath("models", "model.previous.pt").exists()


def studies_label(studies, name, server, mask):
    """A label with one MC taken out."""
    import itk

    corrected = mask.T.copy()
    rows = np.flatnonzero(corrected.any(axis=1))
    corrected[rows[len(rows) // 2 :]] = 0
    path = server.log.with_name("corrected.nrrd")
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(corrected)[None]), str(path))
    return str(path)


def test_the_next_sample_is_one_without_a_label_and_scores_tell_how_sure_it_is(server, studies):
    from monailabel.client.client import MONAILabelUtils

    def request(method, selector, body=None):
        import json

        return json.loads(MONAILabelUtils.http_method(method, server.client.get_server_url(), selector, body)[1])

    labelled = {name for name, entry in server.client.datastore()["objects"].items() if entry["labels"].get("final")}
    sample = server.client.next_sample("first", {})["id"]
    assert sample not in labelled
    options = {"max_workers": 1, "simulation_size": 2, "max_samples": 3, "device": "cpu"}
    request("POST", f"/scoring/{server.name}", options)
    task = finished(lambda: request("GET", "/scoring/"))
    assert task["status"] == "DONE", "\n".join(task["details"])
    images = [entry["image"]["info"] for entry in server.client.datastore()["objects"].values()]
    scores = [info["epistemic_entropy"] for info in images if "epistemic_entropy" in info]
    assert len(scores) == 3 and all(np.isfinite(score) and score > 0 for score in scores)
