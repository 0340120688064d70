"""Archive in, archive out on phantoms, with a real archive on this computer (`make archive-demo`).

    python -m scripts.archive.demo [--folder FOLDER] [--studies N]

Starts Orthanc on loopback in the folder, stores generated studies in it, runs the worker, and prints what is there.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.archive.archive import Connection
from scripts.archive.options import add_options, run
from scripts.archive.orthanc import Orthanc


def phantom_studies(folder: Path, studies: int, shape: tuple[int, int] = (1024, 768), seed: int = 7) -> list[Path]:
    """Files of studies of phantoms, CC and MLO of one breast each."""
    from scripts.simulation.phantom import phantom_datalist

    datalist = phantom_datalist(
        folder, training=0, validation=0, testing=2 * studies, seed=seed, shape=shape, workers=0
    )
    return [Path(item["image"]) for item in datalist["testing"]]


def contents(url: str) -> list[tuple[str, str, str, str]]:
    """(study, modality, series description, SOP instance UID) of all that an archive holds."""
    from scripts.archive.dicomweb import DicomWebArchive

    client = DicomWebArchive(Connection(url)).client
    found = []
    for study in client.search_for_studies():
        uid = study["0020000D"]["Value"][0]
        for entry in client.search_for_instances(uid, fields=["Modality", "SeriesDescription"]):
            told = (entry.get(tag, {}).get("Value", [""])[0] for tag in ("00080060", "0008103E", "00080018"))
            found.append((uid, *told))
    return sorted(found)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m scripts.archive.demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("data/archive"), help="of Orthanc, phantoms and the queue")
    parser.add_argument("--studies", type=int, default=2, help="how many are generated")
    given = parser.parse_args(words)
    from scripts.api import Choice
    from scripts.archive.dicomweb import DicomWebArchive

    files = phantom_studies(given.folder / "phantoms", given.studies)
    with Orthanc(given.folder / "orthanc") as orthanc:
        sys.stdout.write(f"Orthanc: {orthanc.url}\n")
        archive = DicomWebArchive(Connection(orthanc.dicomweb))
        for file in files:
            archive.store(file, "")
        status = run(Choice(), True, _options(orthanc.dicomweb, str(given.folder / "worker"), "--settle-s", "0"))
        for line in contents(orthanc.dicomweb):
            sys.stdout.write("  ".join(line) + "\n")
    return status


def _options(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_options(parser.add_argument)
    return vars(parser.parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
