"""Modules that are imported when they are used: what is left out at the start, and that it works all the same."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = """
import sys
from scripts.common.later import SLOW, imported_later
with imported_later():
    import monai.bundle, monai.handlers
assert not set(SLOW) & set(sys.modules), set(SLOW) & set(sys.modules)
"""
USES = {
    "a class is made": """
from monai.handlers import TensorBoardStatsHandler
from torch.utils.tensorboard import SummaryWriter
assert isinstance(TensorBoardStatsHandler(log_dir=sys.argv[1])._writer, SummaryWriter)
""",
    "of a class that was not imported there is no instance": """
import torch
from ignite.handlers.checkpoint import ZeroRedundancyOptimizer
assert not isinstance(torch.optim.SGD([torch.zeros(1)]), ZeroRedundancyOptimizer)
assert "torch.distributed.optim" not in sys.modules
import torch.distributed.optim
from torch.distributed.optim import ZeroRedundancyOptimizer as real
assert isinstance(real.__new__(real), ZeroRedundancyOptimizer)
""",
    "a function is called": """
import numpy as np
from monai.metrics.embedding_collapse import sklearn_silhouette
from sklearn.metrics import silhouette_score
points, labels = np.random.default_rng(0).random((10, 2)), np.arange(10) % 2
assert sklearn_silhouette(points, labels) == silhouette_score(points, labels)
""",
    "a module is looked into": """
from monai.utils.jupyter_utils import plt
from matplotlib.figure import Figure
assert isinstance(plt.figure(), Figure)
import matplotlib.pyplot
assert matplotlib.pyplot is sys.modules["matplotlib.pyplot"] and matplotlib.pyplot.Figure is Figure
""",
}


@pytest.mark.parametrize("use", USES)
def test_what_was_left_out_works_when_it_is_used(use, tmp_path):
    command = [sys.executable, "-c", START + USES[use], str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_was_there_before_is_used_at_once():
    code = "import scipy.signal, sys\nfrom scripts.common.later import imported_later\n"
    code += "with imported_later():\n    from scipy.signal import hilbert\nassert hilbert is scipy.signal.hilbert"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_wrong_name_of_a_module_is_told_when_it_is_used():
    from scripts.common.later import _Module

    name = _Module("json").nothing_of_the_kind
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        name()
    with pytest.raises(AttributeError):
        getattr(_Module("json"), "__wrapped__")  # noqa: B009 - the name is of Python's own, and no stand-in has it


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_after_the_block(enabled):
    code = f"""
import gc
from scripts.common.later import without_collecting
gc.enable() if {enabled} else gc.disable()
try:
    with without_collecting():
        assert not gc.isenabled()
        raise OSError
except OSError:
    assert gc.isenabled() is {enabled} and gc.get_freeze_count() > 0
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
