"""A sweep of a fake objective as a process of its own.

    fake_sweep.py <folder> <storage> <grid or search> <delay s> <grace s>

Each trial leaves one line in `<folder>/calls.txt` when it begins and another one when it ends.
"""

import os
import sys
import time
from pathlib import Path

from scripts.sweeps.report import RankingReport
from scripts.sweeps.sweep import Outcome, Sweep


class Fake:
    direction = "maximize"

    def __init__(self, folder, delay_s=0.0):
        self.folder, self.delay_s, self.settings = Path(folder), delay_s, {"fake": 1}

    def prepare(self):
        self.folder.mkdir(parents=True, exist_ok=True)

    def first(self, keys):
        return ()

    def log(self, word, parameters):
        text = f"{word} {os.getpid()} {sorted(parameters.items())}\n"
        with (self.folder / "calls.txt").open("a") as file:
            file.write(text)

    def __call__(self, parameters, note):
        self.log("begin", parameters)
        time.sleep(self.delay_s)
        x, y = parameters["x"], parameters["y"]
        self.log("end", parameters)
        return Outcome(-((x - 2) ** 2) - (y - 1) ** 2, {"sum": x + y}, {"tpr": 0.5 - x})


GRID = {"x": [0, 1, 2], "y": [0, 1]}
RANGES = {"x": {"low": 0.0, "high": 3.0}, "y": {"low": 0, "high": 4}}


def sweep(folder, storage="", method="grid", delay_s=0.0, **options):
    space, trials = (GRID, 0) if method == "grid" else (RANGES, 12)
    options = {"trials": trials, "heartbeat_s": 1, "grace_s": 60, "poll_s": 0.1, "progress": False} | options
    return Sweep(Fake(folder, delay_s), space, folder, RankingReport("fake"), storage, **options)


if __name__ == "__main__":
    sweep(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), grace_s=int(sys.argv[5])).run()
