"""Freed memory is reused: no new pages for the second large array."""

import platform
import subprocess
import sys

import pytest

from scripts.common.memory import give_back_freed_memory, keep_freed_memory

COUNT_FAULTS = """
import ctypes, resource, sys
from scripts.common.memory import keep_freed_memory
library = ctypes.CDLL(None)  # not NumPy: it asks for huge pages
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "keep":
    assert keep_freed_memory(below_mb=96)
def faults(number_mb):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        place = library.malloc(number_mb * 1_000_000)
        ctypes.memset(place, 1, number_mb * 1_000_000)
        library.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(90)
print(faults(50), faults(200))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GNU C library only")
def test_large_arrays_are_not_fetched_anew(root):
    counts = {}
    for mode in ("keep", "leave"):
        command = [sys.executable, "-c", COUNT_FAULTS, mode]
        output = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
        counts[mode] = [int(count) for count in output.split()]
    (small, large), (small_left, large_left) = counts["keep"], counts["leave"]
    assert small < 0.3 * small_left  # new pages, of whatever size, for three times 50 MB
    assert large > 0.7 * large_left  # beyond the limit: handed back either way


GIVE_BACK = """
import numpy as np
from scripts.common.memory import give_back_freed_memory, keep_freed_memory
def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
keep_freed_memory(below_mb=40)
arrays = [np.ones(2_500_000) for _ in range(10)]  # 20 MB each
last = np.ones(100_000)  # lies above them
arrays.clear()
kept = resident_mb()
give_back_freed_memory()
print(kept - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GNU C library only")
def test_what_was_kept_can_be_given_back(root):
    output = subprocess.run([sys.executable, "-c", GIVE_BACK], cwd=root, capture_output=True, text=True, check=True)
    assert float(output.stdout) > 150


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.delattr("ctypes.CDLL")
    assert keep_freed_memory() is False
    give_back_freed_memory()
