"""Freed memory is reused: no new pages for the second large array."""

import platform
import resource
import subprocess
import sys

import pytest

from scripts.memory import keep_freed_memory

COUNT_FAULTS = """
import resource, sys
import torch
from scripts.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory(below_mb=96)
def faults(number_mb):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        torch.empty(number_mb * 250_000).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(90)
print(faults(50), faults(200))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GNU C library only")
def test_large_arrays_are_not_fetched_anew(root):
    page = resource.getpagesize()
    for mode, kept in (("keep", True), ("leave", False)):
        command = [sys.executable, "-c", COUNT_FAULTS, mode]
        output = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
        small, large = (int(count) * page / 1e6 for count in output.split())
        assert small < 10 if kept else small > 120  # MB of new pages for three times 50 MB; all of it without
        assert large > 500  # beyond the limit: handed back either way


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
