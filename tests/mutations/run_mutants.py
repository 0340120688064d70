"""Run tests against changed copies of the code: run_mutants.py <folder with scripts/, tests/ and plan.json>.

plan.json is a list of {"file", "old", "new", "tests"}. What tests import from elsewhere is imported once; each entry
then gets a forked process of its own, which imports the project's code from the changed copy. The exit statuses of
pytest go to <folder>/results.json, its words to <folder>/<number>.txt.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

LIBRARIES = ("cv2", "hypothesis", "matplotlib.figure", "monai.bundle", "monai.engines", "PIL.Image", "pytest", "scipy")
LIBRARIES += ("scipy.optimize", "scipy.sparse.csgraph", "scipy.spatial", "scipy.stats", "sklearn.metrics", "torch")
SECONDS = 60


def run_tests(folder: Path, tests: list[str], log: Path) -> int:
    """pytest's exit status in a forked process."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    signal.alarm(SECONDS)  # a changed rule may never end
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.path.insert(0, str(folder))
    status = importlib.import_module("pytest").main(
        ["-q", "-x", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", str(folder / "pytest.ini"), *tests]
    )
    os._exit(int(status))


def main() -> None:
    """Change, test, put back, for every entry."""
    folder = Path(sys.argv[1])
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.dont_write_bytecode = True
    os.chdir(folder)
    statuses = []
    for number, entry in enumerate(json.loads((folder / "plan.json").read_text())):
        path = folder / entry["file"]
        text = path.read_text()
        path.write_text(text.replace(entry["old"], entry["new"]) if entry["old"] else text)
        statuses.append(run_tests(folder, entry["tests"], folder / f"{number}.txt"))
        path.write_text(text)
    (folder / "results.json").write_text(json.dumps(statuses))


if __name__ == "__main__":
    main()
