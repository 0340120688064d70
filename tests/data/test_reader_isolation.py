"""Reading in a process apart: the same result, and no file can crash, stop or starve the one that asks."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from scripts.common.settings import describe
from scripts.data.reader.errors import MammogramReadError
from scripts.data.reader.isolation import end_reading_processes, read, read_isolated, start_ahead
from scripts.data.reader.mammogram_reader import Reading, read_mammogram
from scripts.data.reader.plausible import BYTES_PER_PIXEL
from scripts.transforms.loading import LoadMammogramd
from tests.data.dicom_factory import mg_dataset, ramp, save
from tests.data.file_factory import nifti, write

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


def reading_processes(parent: int = 0) -> list[int]:
    """Ids of the reading processes that a process (this one) has started and that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            ours = int(ppid) == (parent or os.getpid()) and state != "Z"
            if ours and b"scripts.data.reader.reading_process" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def rle_bomb(path: Path) -> Path:
    """80 x 90 px whose first segment decodes, in seconds, to 768 MB."""
    dataset = mg_dataset(ramp(80, 90))
    runs = b"\x81\x00" * 6_000_000  # 128 bytes each
    header = np.array([2, 64, 64 + len(runs), *[0] * 13], "<u4").tobytes()
    dataset.PixelData = encapsulate([header + runs + b"\x81\x00" * 57])
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return save(dataset, path)


@pytest.fixture
def scan(tmp_path):
    return save(mg_dataset(ramp(80, 90)), tmp_path / "scan.dcm")


@pytest.fixture
def one_process(scan):
    """The id of the only reading process."""
    end_reading_processes()
    read_isolated(scan)
    (pid,) = reading_processes()
    return pid


def test_the_same_pixels_and_metadata_as_in_this_process(tmp_path, scan):
    affine = np.array([[0.06, 0.001, 0, 1 / 3], [0.001, 0.08, 0, -5], [0, 0, 1, 0], [0, 0, 0, 1]])
    files = [scan, write(tmp_path / "x.png", ramp(80, 90)), nifti(tmp_path / "x.nii.gz", ramp(80, 90).T, affine)]
    files.append(write(tmp_path / "x.tif", np.random.default_rng(0).normal(size=(80, 90))))
    for file in files:
        (image, meta), (expected, wanted) = read_isolated(file), read_mammogram(file)
        assert image.dtype == expected.dtype
        assert image.tobytes() == expected.tobytes()
        image[0, 0] = 0.5  # it can be written to
        assert list(meta) == list(wanted)
        for key, value in wanted.items():
            assert type(meta[key]) is type(value), key
            np.testing.assert_array_equal(meta[key], value, err_msg=key)
            assert getattr(meta[key], "dtype", None) == getattr(value, "dtype", None)


def test_one_process_reads_many_files_and_errors_and_warnings_reach_the_one_that_asks(tmp_path, one_process, caplog):
    with pytest.raises(MammogramReadError) as caught:
        read_isolated(tmp_path / "none.dcm")
    assert str(caught.value).startswith(f"{tmp_path / 'none.dcm'}: got no such file; want ")
    caplog.clear()
    read_isolated(save(mg_dataset(ramp(80, 90), remove=("ImagerPixelSpacing",)), tmp_path / "x.dcm"))
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "scripts.data.reader.plausible")
    assert "x.dcm: no pixel spacing" in record.message
    assert reading_processes() == [one_process]


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_read(scan, one_process):
    os.kill(one_process, signal.SIGSTOP)
    begin = time.monotonic()
    with pytest.raises(MammogramReadError, match=r"scan\.dcm: got a file that takes more than 0\.3 s"):
        read_isolated(scan, Reading(time_limit_s=0.3))
    assert time.monotonic() - begin < 20
    assert not alive(one_process)
    assert read_isolated(scan)[0].shape == (80, 90)


def test_a_file_that_crashes_its_decoder_is_refused_and_the_next_one_read(tmp_path, scan, one_process):
    path = rle_bomb(tmp_path / "slow.dcm")
    threading.Timer(0.2, os.kill, (one_process, signal.SIGSEGV)).start()
    with pytest.raises(MammogramReadError, match=r"slow\.dcm: got a file that crashes its decoder \(SIGSEGV"):
        read_isolated(path)
    assert read_isolated(scan)[0].shape == (80, 90)


def test_a_process_that_died_while_it_waited_is_not_the_next_files_fault(scan, one_process):
    os.kill(one_process, signal.SIGKILL)
    while alive(one_process):
        time.sleep(0.01)
    assert read_isolated(scan)[0].shape == (80, 90)


def test_a_file_that_wants_too_much_memory_is_refused(tmp_path, scan, one_process):
    path = rle_bomb(tmp_path / "bomb.dcm")
    with pytest.raises(MammogramReadError, match=r"bomb\.dcm: got .*(memory|crashes)"):
        read_isolated(path, Reading(memory_limit_mb=1000))
    assert read_isolated(scan)[0].shape == (80, 90)


def test_ctrl_c_is_for_the_one_that_asks(scan, one_process):
    os.kill(one_process, signal.SIGINT)
    read_isolated(scan)
    assert reading_processes() == [one_process]


@pytest.mark.parametrize("decoding", [False, True])
def test_it_ends_with_a_killed_parent(scan, decoding):
    code = f"""
import time, threading
from scripts.data.reader.isolation import read_isolated
read_isolated({str(scan)!r})
print("ready", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = reading_processes(parent.pid)
        if decoding:  # stopped for a while: it hears of its parent's end only later
            os.kill(child, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        if decoding:
            os.kill(child, signal.SIGCONT)
    deadline = time.monotonic() + 20
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def _worker(path, answers):
    before = reading_processes()
    image, _ = read_isolated(path)
    answers.put((before, image.shape, len(reading_processes())))


def test_a_forked_worker_starts_its_own(scan, one_process):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    worker = context.Process(target=_worker, args=(scan, answers))
    worker.start()
    assert answers.get(timeout=60) == ([], (80, 90), 1)
    worker.join(20)
    assert read_isolated(scan)[0].shape == (80, 90)
    assert reading_processes() == [one_process]


def test_threads_read_at_the_same_time(scan, one_process):
    with ThreadPoolExecutor(2) as pool:
        images = [image for image, _ in pool.map(read_isolated, [scan] * 6)]
    assert all(np.array_equal(image, images[0]) for image in images)
    assert 1 <= len(reading_processes()) <= 2


def test_the_process_imports_neither_torch_nor_monai():
    code = "import sys, scripts.data.reader.reading_process; print({'torch', 'monai'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


def test_the_bundles_own_reading_is_isolated_and_can_be_told_not_to_be(scan):
    end_reading_processes()
    here = LoadMammogramd(reading=Reading(isolated=False))({"image": scan})["image"]
    assert reading_processes() == []
    apart = LoadMammogramd()({"image": scan})["image"]
    assert len(reading_processes()) == 1
    assert here.shape == apart.shape == (1, 80, 90)
    assert (here == apart).all()
    np.testing.assert_array_equal(read(scan)[0], here[0])


def test_limits_have_no_effect_on_results_and_are_checked():
    settings = describe(Reading(isolated=False, time_limit_s=5, memory_limit_mb=2000))
    assert json.dumps(settings) == json.dumps(describe(Reading()))
    assert Reading(memory_limit_mb=4000).max_pixels == 4000 * 10**6 // BYTES_PER_PIXEL
    for name, values in {
        "time_limit_s": (0, -1, float("nan"), "5", True),
        "memory_limit_mb": (0, 10, 1.5, True),
    }.items():
        for value in values:
            with pytest.raises(ValueError, match=f"{name}: got"):
                Reading(**{name: value})


def test_names_that_are_not_utf8(tmp_path):
    file = tmp_path / os.fsdecode(b"caf\xe9\n.dcm")
    save(mg_dataset(ramp(80, 90)), file)
    assert read_isolated(file)[1]["filename_or_obj"] == str(file)
    file.write_bytes(b"nothing")
    with pytest.raises(MammogramReadError) as caught:
        read_isolated(file)
    assert caught.value.path == str(file)
    assert str(caught.value).encode().startswith(f"{tmp_path}/caf\\xe9\\x0a.dcm: got ".encode())


def test_a_second_import_ends_the_idle_processes_of_the_first(scan):
    """MONAI Label imports the bundle's modules anew for each step of each request."""
    code = f"""
import subprocess, sys
for _ in range(3):
    from scripts.data.reader.isolation import read_isolated
    assert read_isolated({str(scan)!r})[0].size
    for name in [name for name in sys.modules if name.startswith("scripts")]:
        del sys.modules[name]
import os
from pathlib import Path
print(sum(f"PPid:\\t{{os.getpid()}}\\n" in path.read_text() and "State:\\tZ" not in path.read_text()
          for path in Path("/proc").glob("[0-9]*/status")))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "1"


def test_a_process_that_was_started_ahead_reads_the_first_file(scan):
    end_reading_processes()
    start_ahead()
    for thread in threading.enumerate():
        if thread.name == "start-reader":
            thread.join(60)
    ahead = reading_processes()
    assert len(ahead) == 1 and read_isolated(scan)[0].size
    assert reading_processes() == ahead
