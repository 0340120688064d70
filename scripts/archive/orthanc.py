"""An Orthanc of one's own for demonstrations and tests: on loopback, on free ports, in a folder of its own.

Debian has it: `apt install orthanc orthanc-dicomweb`.
"""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALL = "apt install orthanc orthanc-dicomweb"


def is_installed() -> bool:
    """Whether Orthanc and its DICOMweb plug-in are here."""
    return shutil.which("Orthanc") is not None and PLUGIN.is_file()


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Orthanc:
    """A running Orthanc; a context manager that ends it. What it holds stays in the folder.

    `settings` go into its configuration, over these.
    """

    def __init__(self, folder: Path, wait_s: float = 60.0, **settings: Any) -> None:
        if not is_installed():
            raise FileNotFoundError(f"Orthanc: got none here; want it installed: {INSTALL}")
        folder.mkdir(parents=True, exist_ok=True)
        self.http_port, self.dicom_port = free_port(), free_port()
        self.url, self.dicomweb = f"http://127.0.0.1:{self.http_port}", f"http://127.0.0.1:{self.http_port}/dicom-web"
        configuration = {
            "Name": "demo",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "DicomServerEnabled": True,
            "ConcurrentJobs": 1,
            "HttpThreadsCount": 4,
            "OverwriteInstances": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
        }
        file = folder / "orthanc.json"
        file.write_text(json.dumps(configuration | settings, indent=2), encoding="utf-8")
        self.log = folder / "orthanc.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["Orthanc", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            self._wait(wait_s)
        except BaseException:
            self.close()
            raise

    def get(self, place: str) -> Any:
        """JSON of a place of Orthanc's own interface, such as "studies"."""
        with build_opener(ProxyHandler({})).open(f"{self.url}/{place}", timeout=30) as answer:
            return json.load(answer)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _wait(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while True:
            try:
                self.get("system")
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > until:
                    last = self.log.read_text(encoding="utf-8", errors="replace")[-500:]
                    raise RuntimeError(f"Orthanc: did not start; its log ends with: {last}") from error
                time.sleep(0.2)
