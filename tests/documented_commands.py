"""What is done with each command that the user pages show in code blocks: run on small data, or not, and why.

A rule is a regular expression that a whole command matches. The first rule that matches counts. Commands are run in the
order of the pages, in one copy of the bundle, so that they find what earlier ones made.
"""

import re
import shlex
from dataclasses import dataclass

#: Placeholders of the pages, in the order in which they are replaced -> path below the test's folder.
PLACEHOLDERS = {
    "<bundle>": "{bundle}",
    "<file or folder>": "{images}",
    "<folder with datalist.json>": "{dataset}",
    "<results>": "{made}/console",
    "--output_dir <folder>": "--output_dir {own}/out",
    "--publish_path <file>": "--publish_path {made}/published.pt",
    "--dataset_dir <folder>": "--dataset_dir {dataset}",
    "<folder of normal mammograms>": "{images}",
    "<folder>": "{images}",
    "2017.dcm": "{one}",
    "2018.dcm": "{other}",
    "FIRST SECOND --output": "runs/evaluation runs/evaluation --output",
    "FOLDER --datalist data/benchmark/datalist.json": "runs/evaluation --datalist {dataset}/datalist.json",
}
PHANTOMS = "--source::training 2 --source::validation 1 --source::testing 1 --source::seed 5 --source::workers 0"
PHANTOMS += " --source::shape '[416, 320]' --source::empty_fraction 0.0"
PATCHES = "--patches::patch_px 96 --patches::stride_px 96 --warp::crop_px 64"
TRAINING = "--max_epochs 1 --batch_size 2 --device cpu --precision float32 --cache_dir {own}/patches"
TRAINING += " --publish_path '' --output_dir {own}/training"
SMALL_TRAINING = f"{PATCHES} {TRAINING}"
SECOND = "--initial_weights models/model.pt --second_source::training 1 --second_source::validation 1"
SECOND += " --second_source::workers 0 --second_source::shape '[416, 320]'"
EVALUATION = "--bootstrap::samples 20 --device cpu"


@dataclass(frozen=True)
class Run:
    """A command that is run, and what is added to it to make it small."""

    pattern: str
    more: str = ""


@dataclass(frozen=True)
class Left:
    """A command that is not run: why, and the test or file that runs the same another way, if any."""

    pattern: str
    reason: str
    instead: str = ""


BUNDLE = r"python -m monai\.bundle run "
RULES: tuple[Run | Left, ...] = (
    # inference
    Left(r".*slim_fcn_paper.*|.*hdogreg_paper.*", "its weights are not shipped", "tests/test_paper.py"),
    Run(BUNDLE + r"--config_file .*inference.*", "--device cpu"),
    Run(r"make demo( INPUT=.*)?"),
    Run(r"mammo-mc (segment|verify|info).*"),
    Run(r"mammo-mc evaluate .*", "--set bootstrap::samples=20"),
    Run(r"mammo-mc study .*"),
    Run(r"python -m monai\.bundle run study .*"),
    Left(r"mammo-mc archive .*|make archive-demo", "wants an archive", "tests/archive/test_orthanc.py"),
    Left(r"mammo-mc cluster .*", "needs Ray, run by make test-cluster", "tests/cluster/test_cluster.py"),
    Left(r"srun ray .*", "needs SLURM; a run that joins Ray is tested", "tests/cluster/test_cluster.py"),
    Left(r"python deploy/app\.py .*", "needs MONAI Deploy, make test-deploy", "tests/deploy/test_deploy.py"),
    Run(r"python -m scripts\.outputs\.manifest output"),
    Left(r".*manifest output --key_file.*", "wants a run that was signed", "tests/outputs/test_folder_run.py"),
    # several processes, tracking
    Left(r"torchrun .*", "two processes, minutes", "tests/test_several_ranks.py"),
    Left(r".*scripts\.training\.federated .*", "two trainings, minutes", "tests/training/test_federated.py"),
    Left(r".*--tracking .*|make tracking", "needs MLflow, make test-tracking", "tests/outputs/test_tracking.py"),
    # training
    Left(r".*data_inbreast.*|.*DATA=configs/data_inbreast.*", "INbreast", "tests/test_inbreast_end_to_end.py"),
    Left(r".*configs/<overlay>.*", "stands for the commands with each overlay"),
    Left(r".*training .*data_insertion.*", "wants real mammograms", "tests/sweeps/test_sweep_training.py"),
    Left(r".*training .*data/simulated.*", "wants real mammograms", "tests/training/test_candidate_patches.py"),
    Run(BUNDLE + r"training .*context_cnn_train.*", f"{PHANTOMS} {TRAINING}"),
    Run(BUNDLE + r"training .*finetune.*", f"{SMALL_TRAINING} {SECOND}"),
    Run(BUNDLE + r"training .*data_generic.*", SMALL_TRAINING),
    Run(BUNDLE + r"training .*", f"{PHANTOMS} {SMALL_TRAINING}"),
    # evaluation
    Left(r".*evaluating .*follow_up\.json.*", "needs ITK", "tests/evaluation/test_follow_up.py"),
    Left(
        r".*data_benchmark.*|make (report|benchmark)( .*)?",
        "minutes for each method",
        "tests/evaluation/test_methods.py",
    ),
    Run(BUNDLE + r"choosing .*", f"{EVALUATION} --evaluation::publish_presets {{made}}/operating_points.json"),
    Run(BUNDLE + r"evaluating .*data_generic.*", EVALUATION),
    Run(BUNDLE + r"evaluating .*", f"{PHANTOMS} {EVALUATION} --output_dir {{own}}/evaluation"),
    Left(r".*scripts\.evaluation readers .*", "wants the marks of two readers", "tests/evaluation/test_readers.py"),
    Left(r".*scripts\.evaluation stored .*", "wants results of labelled images", "tests/evaluation/test_stored.py"),
    Left(r".*scripts\.evaluation kinds .*", "wants real mammograms", "tests/evaluation/test_kinds.py"),
    Left(r".*scripts\.evaluation slices .*", "wants real mammograms", "tests/evaluation/test_slices.py"),
    Run(r".*scripts\.evaluation (failures|compare) .*"),
    Left(r".*scripts\.evaluation report .*", "wants runs of several methods", "tests/evaluation/test_report.py"),
    Left(r".*scripts\.evaluation summary .*", "wants runs of several methods", "tests/evaluation/test_main.py"),
    # data and sweeps
    Run(BUNDLE + r"generate .*", PHANTOMS),
    Left(r".*freezing .*|make benchmark-data(-2)? .*", "wants real mammograms", "tests/simulation/test_frozen.py"),
    Left(BUNDLE + r"sweeping .*", "trains or evaluates for every trial", "tests/sweeps/test_sweep_training.py"),
    Left(BUNDLE + r"clustering .*findings.*", "wants a table of diagnoses", "tests/sweeps/test_clustering.py"),
    Left(BUNDLE + r"clustering .*", "a search of many trials", "tests/sweeps/test_clustering.py"),
    # follow-up, exports, other programs
    Left(
        r"make follow-up.*|.*run (follow_up|region) .*", "needs ITK, make follow-up", "tests/outputs/test_follow_up.py"
    ),
    Left(r".*quantizing .*", "needs requirements-export.txt", "tests/networks/test_int8.py"),
    Left(r".*exporting .*|.*bench\.exports .*", "needs requirements-export.txt", "tests/networks/test_export.py"),
    Left(r".*monai[-_]label.*|curl .*127.*", "needs MONAI Label, make test-server", "tests/server/test_monai_label.py"),
    Run(r"python -m monai\.bundle verify_net_in_out .*", "--device cpu"),
    Run(r"python -m monai\.bundle ckpt_export .*"),
    Left(r"make (test|lint|bench|test-\w+)", "runs the tests themselves", ".ci/run"),
    Left(r"make package|pip install .*", "installs, or builds the last commit", "tests/test_package.py"),
)


def rule_of(command):
    """The rule for a command; None if there is none."""
    return next((rule for rule in RULES if re.fullmatch(rule.pattern, command)), None)


def filled(command, paths):
    """The words of a command with its placeholders replaced, and with what its rule adds."""
    full = f"{command} {rule_of(command).more}"
    for placeholder, given in PLACEHOLDERS.items():
        full = full.replace(placeholder, given)
    for name, path in paths.items():
        full = full.replace(f"{{{name}}}", path)
    return shlex.split(full)
