"""MONAI Label on an archive (Orthanc, DICOMweb): masks as the command line's, of both photometric interpretations."""

import subprocess
import sys

import numpy as np
import pytest
from pydicom import dcmread

from scripts.archive.orthanc import Orthanc, is_installed
from scripts.simulation.phantom.dicom import write_phantom_dicom
from tests.server.conftest import running_server
from tests.server.studies import crops, mask_of

pytestmark = [pytest.mark.server, pytest.mark.skipif(not is_installed(), reason="needs Orthanc: make orthanc")]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """MG files of crops, by series UID."""
    folder, found = tmp_path_factory.mktemp("mg"), {}
    crop = crops(tmp_path_factory.mktemp("phantoms"), 4, seed=6)
    for number, pixels in enumerate(crop):
        stored = np.clip(pixels * 4095, 0, 4095).astype(np.uint16)
        view = {"laterality": "LR"[number % 2], "view": "CC" if number < 2 else "MLO"}
        patient = {"patient_id": f"P{number}", "seed": number, "monochrome1": number % 2 == 1}
        file = write_phantom_dicom(folder / f"{number}.dcm", stored, spacing_mm=0.07, **view, **patient)
        found[str(dcmread(file, stop_before_pixels=True).SeriesInstanceUID)] = file
    return found


@pytest.fixture(scope="module")
def command_line(images, root, tmp_path_factory):
    """Masks by series UID, as `run inference` writes them."""
    output, folder = tmp_path_factory.mktemp("command_line"), next(iter(images.values())).parent
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    command += ["--input_dir", str(folder), "--output_dir", str(output), "--progress", "False"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return {series: mask_of(output / file.stem / "mask.nii.gz") for series, file in images.items()}


@pytest.fixture(scope="module")
def server(images, root, tmp_path_factory):
    from dicomweb_client import DICOMwebClient

    folder = tmp_path_factory.mktemp("server")
    with Orthanc(folder / "orthanc") as orthanc:
        client = DICOMwebClient(orthanc.dicomweb)
        client.store_instances([dcmread(file) for file in images.values()])
        with running_server(root, folder, orthanc.dicomweb, "hdogreg") as running:
            running.archive = client
            yield running


def test_it_lists_the_mammograms_of_the_archive(server, images):
    assert server.client.info()["datastore"]["total"] == len(images)
    assert server.client.next_sample("random", {})["id"] in images


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_masks_are_the_command_lines_pixel_for_pixel(server, images, command_line, extension):
    found = 0
    for series, mask in command_line.items():
        answer, facts = server.client.infer(server.name, series, {"result_extension": extension})
        np.testing.assert_array_equal(mask_of(answer), mask, err_msg=str(images[series]))
        assert facts["label_names"] == {"microcalcification": 1}
        found += int(mask.any())
    assert found >= 2  # images with marks


def test_saving_a_label_fails_and_says_so(server, images):
    """MONAI Label 0.8.5 writes labels of archives with dcmqi, which asks for tags that MG images do not have."""
    from monailabel.client.client import MONAILabelClientException

    series = next(iter(images))
    answer, _ = server.client.infer(server.name, series, {"result_extension": ".nii.gz"})
    with pytest.raises(MONAILabelClientException) as error:
        server.client.save_label(series, answer)
    assert "500" in str(error.value) and "Condition failed: Tag not found" in server.log.read_text()[-3000:]
    modalities = {entry["00080060"]["Value"][0] for entry in server.archive.search_for_series(fields=["Modality"])}
    assert modalities == {"MG"}
