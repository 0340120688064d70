"""Lay out MONAI Label's app for this bundle and start its server; needs the environment that `make monai-label` builds.

    python monai_label/start.py --studies STUDIES [--app FOLDER] [--methods hdogreg slim_fcn] [--preset balanced]

The app is MONAI Label's own "monaibundle". Each method becomes a model of its own in it: a copy of this bundle with
the method's configs merged in, and with its weights alone, so that a client cannot pick another network's. Training
changes the copies only; started again, the app keeps the weights that it has.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[1]
#: method -> name of the model (must hold "segmentation"), weights, overlay of inference.json, overlay of train.json
METHODS = {
    "hdogreg": ("mammography_microcalcification_segmentation", "model.pt", "", ""),
    "slim_fcn": ("slim_fcn_segmentation", "slim_fcn.pt", "slim_fcn_inference.json", "slim_fcn_train.json"),
    "context_cnn": (
        "context_cnn_segmentation",
        "context_cnn.pt",
        "baseline_context_cnn_inference.json",
        "baseline_context_cnn_train.json",
    ),
}
#: What lies in a folder of studies, and labels (a viewer may save .nrrd). MONAI Label's own default has no DICOM.
SUFFIXES = ("*.nii.gz", "*.nii", "*.nrrd", "*.dcm", "*.png", "*.tif", "*.tiff", "*.jpg")
WEIGHTS = "$@bundle_root + '/models/model.pt'"
PRESETS = ("sensitive", "balanced", "specific")


def lay_out(app: Path, methods: list[str], preset: str) -> list[str]:
    """Make or refresh the app's folder; returns the names of its models."""
    sample = Path(sys.prefix, "monailabel", "sample-apps", "monaibundle")
    if not sample.is_dir():
        raise SystemExit(f"error: {sample} does not exist; want MONAI Label in this Python (make monai-label)")
    shutil.copytree(sample, app, dirs_exist_ok=True)
    for method in methods:
        name, weights, *overlays = METHODS[method]
        model = app / "model" / name
        for folder in ("configs", "scripts"):
            shutil.rmtree(model / folder, ignore_errors=True)
            shutil.copytree(ROOT / folder, model / folder, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", model)
        (model / "models").mkdir(exist_ok=True)
        if not (model / "models" / "model.pt").exists():
            shutil.copy(ROOT / "models" / weights, model / "models" / "model.pt")
        for shared in ("operating_points.json", "centre_net.pt"):
            shutil.copy(ROOT / "models" / shared, model / "models")
        for file in (ROOT / "models").glob(f"{Path(weights).stem}_int8.*"):
            shutil.copy(file, model / "models" / f"model_int8{file.suffix}")
        changes = {"weights": WEIGHTS}
        if not any('"score_threshold"' in Path(file).read_text(encoding="utf-8") for file in _files(overlays[0])):
            changes |= {"displayable_configs": {"preset": preset}, "preset": "@displayable_configs::preset"}
        for config, overlay, changed in (
            ("inference.json", overlays[0], changes),
            ("train.json", overlays[1], {"publish_path": WEIGHTS}),
        ):
            _write(model / "configs" / config, [config, overlay], changed)
    return [METHODS[method][0] for method in methods]


def prepare_for_archive(app: Path) -> None:
    """Settings of MONAI Label for mammograms of an archive, where they are not set already.

    Its own conversion to NIfTI would lose how grey values are shown: MONOCHROME1 images would be read inverted. Without
    the tools of dcmqi on the path it would download them.
    """
    settings = {"SEARCH_FILTER": '{"Modality": "MG"}', "CONVERT_TO_NIFTI": "false", "CACHE_EXPIRY": "60"}
    for name, value in (settings | {"CACHE_PATH": str(app / "dicomweb")}).items():
        os.environ.setdefault(f"MONAI_LABEL_DICOMWEB_{name}", value)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if not shutil.which("itkimage2segimage"):
        raise SystemExit("error: itkimage2segimage is not on the path; want dcmqi in this Python (make monai-label)")


def _files(*names: str) -> list[str]:
    return [str(ROOT / "configs" / name) for name in names if name]


def _write(path: Path, names: list[str], changes: dict[str, object]) -> None:
    parser = ConfigParser()
    parser.read_config(_files(*names))
    path.write_text(json.dumps(parser.get() | changes, indent=4), encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words = "folder of mammograms (labels go to labels/ in it), or an archive's DICOMweb address"
    parser.add_argument("--studies", required=True, help=words)
    parser.add_argument("--app", type=Path, default=ROOT / "runs" / "monai_label", help="where the app is laid out")
    parser.add_argument("--methods", nargs="+", default=["hdogreg", "slim_fcn"], choices=METHODS)
    parser.add_argument("--preset", default="balanced", choices=PRESETS, help="what clients see first")
    parser.add_argument("--host", default="127.0.0.1", help="by default this computer alone can reach it")
    parser.add_argument("--port", default="8000")
    given = parser.parse_args()
    app, studies = given.app.resolve(), given.studies
    if studies.startswith(("http://", "https://")):
        prepare_for_archive(app)
    elif not Path(studies).is_dir():
        raise SystemExit(f"error: studies: got {studies}; want an existing folder, or https://host/dicom-web")
    else:
        studies = str(Path(studies).resolve())
    models = lay_out(app, given.methods, given.preset)
    os.environ.setdefault("MONAI_LABEL_DATASTORE_FILE_EXT", json.dumps(SUFFIXES))
    os.environ.setdefault("MONAI_LABEL_AUTO_UPDATE_SCORING", "false")  # it scores two images at a time, and fails
    os.environ.setdefault("PYTHONPATH", "")
    conf = {"models": ",".join(models), "epistemic_model": models[0], "zoo_source": "local", "sam2": "false"}
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", studies]
    command += [part for key, value in conf.items() for part in ("--conf", key, value)]
    command += ["--host", given.host, "--port", given.port]
    os.chdir(app)  # MONAI Label reads a `.env` of the folder it runs in
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
