"""The console command `mammo-mc archive`: its options, and the worker that they ask for.

What needs the packages of requirements-archive.txt is imported where it is used.
"""

import importlib.util
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from scripts.common.checks import check

#: Module -> package, as in requirements-archive.txt.
MODULES = {"dicomweb_client": "dicomweb-client==0.61.2", "pynetdicom": "pynetdicom==3.0.4"}
HEALTH_PORT = 8765


def add_options(add: Callable[..., Any]) -> None:
    """Arguments of the command, without those of the method (`Choice`)."""
    add("archive", help="DICOMweb address (https://host/dicom-web), or dicom://AET@host:port for C-STORE in and out")
    add("state", help="folder of the queue, the report and what is on its way; one worker at a time")
    add("--for-ever", action="store_true", help="go on looking for new studies; otherwise end when all are done")
    add("--outputs", nargs="+", default=[], metavar="NAME", help="results (default: segmentation report_sr cad_sr)")
    add("--dates", default="", help="study dates, YYYYMMDD or YYYYMMDD-YYYYMMDD, either end may be left out")
    add("--modality", default="MG", help="of the images (default: MG)")
    add("--study", action="append", default=[], metavar="UID", help="this study only; may be repeated")
    add("--poll-s", type=float, default=60.0, help="seconds between two searches (default: 60)")
    add("--settle-s", type=float, default=60.0, help="seconds that a study must not have changed for (default: 60)")
    add("--attempts", type=int, default=3, help="at a study that fails (default: 3)")
    add("--retry-s", type=float, default=60.0, help="until the second attempt, then twice as long (default: 60)")
    add("--crashes", type=int, default=5, help="kills of the worker at a study that make it a failed one (default: 5)")
    add("--retry-failed", action="store_true", help="try failed studies again")
    add("--identity", default="none", choices=("full", "pseudonym", "none"), help="what log, health and report tell")
    add("--key-file", default="", help="secret for --identity pseudonym")
    add("--ca-file", default="", help="certificates to trust (PEM)")
    add("--client-cert", default="", help="our certificate (PEM)")
    add("--client-key", default="", help="its key, where it is in a file of its own")
    add("--token-file", default="", help="file of a bearer token")
    add("--unencrypted", action="store_true", help="leave to send patient data over a network in plain")
    add("--timeout-s", type=float, default=60.0, help="without an answer (default: 60)")
    add("--largest-mb", type=float, default=512.0, help="of one image (default: 512)")
    add(
        "--health-port",
        type=int,
        default=-1,
        help=f"of /health on loopback (default: {HEALTH_PORT} for ever, else none)",
    )
    add(
        "--listen",
        type=int,
        default=11112,
        metavar="PORT",
        help="dicom://: port that images arrive at (default: 11112)",
    )
    add("--listen-host", default="127.0.0.1", help="dicom://: address to listen at (default: this computer alone)")
    add("--ae-title", default="MAMMO_MC", help="dicom://: ours (default: MAMMO_MC)")
    add("--sender", action="append", default=[], metavar="AET", help="dicom://: who may send images (default: anyone)")
    add("--keep-h", type=float, default=24.0, help="dicom://: hours that images of done studies are kept (default: 24)")


def run(choice: Any, progress: bool, given: dict[str, Any]) -> int:
    """Run the worker; gives the exit status, 1 where a study or an image failed.

    `choice` is a `Choice`; `given` what `add_options` asks for.
    """
    for module, package in MODULES.items():
        there = importlib.util.find_spec(module) is not None
        check("packages", f"no {module}", there, f"pip install {package}")
    from scripts.api import Segmenter
    from scripts.archive.archive import Wanted
    from scripts.archive.health import Health
    from scripts.archive.queue import StudyQueue
    from scripts.archive.report import ArchiveReport
    from scripts.archive.results import DEFAULT_OUTPUTS, Results
    from scripts.archive.worker import Pace, Worker
    from scripts.common.identity import Identity
    from scripts.common.stage import try_lock

    _log_to_stderr()
    identity = Identity(given["identity"], given["key_file"])
    wanted = Wanted(given["modality"], given["dates"], tuple(given["study"]))
    pace = Pace(*(given[name] for name in ("poll_s", "settle_s", "attempts", "retry_s", "crashes")))
    state = Path(given["state"]).expanduser()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = try_lock(state / ".worker.lock")
    check("state", str(state), lock is not None, "a folder that no other worker uses")
    archive = _open(given, state)
    segmenter, queue = Segmenter(**vars(choice)), StudyQueue(state / "queue.sqlite")
    results = Results(segmenter.basis, tuple(given["outputs"]) or DEFAULT_OUTPUTS)
    about = {"basis": segmenter.basis, "settings": segmenter.settings, "weights": segmenter.weights}
    report, health = ArchiveReport(state / "archive_report.json", about), Health()
    if given["retry_failed"]:
        queue.reopen_failed()
    port = given["health_port"] if given["health_port"] >= 0 else HEALTH_PORT if given["for_ever"] else None
    if port is not None:
        logging.getLogger(__name__).info("health: http://127.0.0.1:%d/health", health.serve(port))
    worker = Worker(
        archive, segmenter, queue, results, state / "work", wanted, pace, identity, report, health,
        progress and sys.stderr.isatty(),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, _end_in_order)
    ended = "broken off"
    try:
        worker.run(given["for_ever"])
        ended = "finished"
    except KeyboardInterrupt:
        ended = "interrupted"
        raise
    finally:
        report.write(ended, queue.counts())
        health.close()
        queue.close()
        getattr(archive, "close", lambda: None)()
    return int(report.failures > 0)


def _open(given: dict[str, Any], state: Path) -> Any:
    from scripts.archive.archive import Connection

    names = ("ca_file", "client_cert", "client_key", "token_file", "unencrypted", "timeout_s", "largest_mb")
    connection = Connection(given["archive"], **{name: given[name] for name in names})
    if given["archive"].startswith(("dicom:", "dicoms:")):
        from scripts.archive.dimse import DimseArchive

        place = given["listen"], given["listen_host"], given["ae_title"]
        return DimseArchive(connection, state / "images", *place, given["keep_h"], tuple(given["sender"]))
    from scripts.archive.dicomweb import DicomWebArchive

    return DicomWebArchive(connection)


def _end_in_order(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _log_to_stderr() -> None:
    """Our own log, warnings and worse of others."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("scripts.archive").setLevel(logging.INFO)
