"""An archive over DIMSE (PS3.4 B): images arrive by C-STORE, results are sent by C-STORE (pynetdicom).

The archive sends images (auto-routing, or by hand), this computer keeps them while they are needed. What was sent to
the archive is noted, as C-STORE cannot ask what is there.
"""

import contextlib
import logging
import os
import shutil
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, _config, evt
from pynetdicom.sop_class import Verification

from scripts.archive.archive import (
    ArchiveUnreachable,
    Connection,
    FileRefused,
    FoundStudy,
    Instance,
    StoreRefused,
    Wanted,
    check_is,
    is_loopback,
    is_uid,
)
from scripts.common.checks import check

logger = logging.getLogger(__name__)
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs UIDs
_config.STORE_RECV_CHUNKED_DATASET = True  # what arrives goes into a file, not into memory

RECEIVED = (DigitalMammographyXRayImageStorageForPresentation, DigitalMammographyXRayImageStorageForProcessing)
SUCCESS, CANNOT_UNDERSTAND, OUT_OF_RESOURCES, DUPLICATE = 0x0000, 0xC000, 0xA700, 0x0111
STORED = (SUCCESS, DUPLICATE, 0xB000, 0xB006, 0xB007)  # the last three: stored with a warning
BUSY = range(0xA700, 0xA800)
HEADER = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "Modality", "StudyDate")
FINISHED = "finished"


class DimseArchive:
    """What arrives at a port, below `folder`; results go to `connection.url`, dicom://AET@host:port (dicoms: TLS).

    Args:
        connection: where results are sent; certificates for both directions.
        folder: for images that arrived, and notes of results that were sent.
        port: to listen at, 0 for any free one (`port`).
        host: address to listen at; by default this computer alone reaches it.
        ae_title: ours.
        keep_h: hours that images are kept once their study is done: later images of it join them till then.
        senders: AE titles that may send images; none for any.
    """

    def __init__(
        self,
        connection: Connection,
        folder: Path,
        port: int,
        host: str = "127.0.0.1",
        ae_title: str = "MAMMO_MC",
        keep_h: float = 24.0,
        senders: tuple[str, ...] = (),
    ) -> None:
        parts = urlsplit(connection.url)
        want = "dicom://AET@host:port, or dicoms:// for TLS"
        there = parts.scheme in ("dicom", "dicoms") and parts.username and parts.hostname and parts.port
        check("archive", connection.url, there, want)
        connection.check_encrypted(parts.hostname or "", parts.scheme == "dicoms")
        listens_in_plain = not connection.client_cert and not connection.unencrypted and not is_loopback(host)
        check("listen-host", host, not listens_in_plain, "a loopback address, --client-cert or --unencrypted")
        self.connection, self.folder, self.keep_s, self.largest = connection, folder, keep_h * 3600, 0
        self.largest = round(connection.largest_mb * 1e6)
        self.peer, self.host, self.peer_port = str(parts.username), str(parts.hostname), int(parts.port or 0)
        self.ae_title, self.tls = ae_title, parts.scheme == "dicoms"
        for part in ("received", "sent", "arriving"):
            (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._server = self._listen(host, port, senders)
        self.port: int = self._server.server_address[1]

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def studies(self, wanted: Wanted) -> Iterator[FoundStudy]:
        """Studies of which images arrived."""
        for folder in sorted((self.folder / "received").iterdir()):
            mark = folder / FINISHED
            with contextlib.suppress(FileNotFoundError):  # an image arrives, the mark goes
                if mark.exists() and time.time() - mark.stat().st_mtime > self.keep_s:
                    shutil.rmtree(folder)
                    continue
            files = sorted(folder.glob("*.dcm"))
            if files and (not wanted.studies or folder.name in wanted.studies) and _in_dates(files[0], wanted.dates):
                yield FoundStudy(folder.name, len(files))

    def instances(self, study: str) -> list[Instance]:
        """Images of a study that arrived, and results of it that were sent."""
        found = []
        for file in sorted((self.folder / "received" / study).glob("*.dcm")):
            header = _header(file)
            found.append(
                Instance(study, header["SeriesInstanceUID"], file.stem, header["SOPClassUID"], header["Modality"])
            )
        sent = sorted((self.folder / "sent" / study).glob("*"))
        return found + [Instance(study, "", file.name, "", "") for file in sent]

    def fetch(self, instance: Instance, path: Path) -> Path:
        """A copy of an image that arrived."""
        shutil.copyfile(self.folder / "received" / instance.study / f"{instance.sop}.dcm", path)
        check_is(path, instance)
        return path

    def store(self, file: Path, study: str) -> None:
        """Send a result, and note that it was taken."""
        dataset = dcmread(file)
        entity = self._entity()
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        tls = (self._context(ssl.Purpose.SERVER_AUTH), self.host) if self.tls else None
        association = entity.associate(self.host, self.peer_port, ae_title=self.peer, tls_args=tls)
        if association.rejected_contexts:
            raise StoreRefused(f"{file.name}: got a kind that the archive does not take; want it stored")
        if not association.is_established:
            raise ArchiveUnreachable(f"{self.peer} at port {self.peer_port}: got no association; want one")
        try:
            status = association.send_c_store(dataset).get("Status")
        finally:
            association.release()
        if status is None or status in BUSY:
            raise ArchiveUnreachable(f"{self.peer}: got {'no answer' if status is None else 'no resources'}")
        if status not in STORED:
            raise StoreRefused(f"{file.name}: got C-STORE status {status:#06x}; want it stored")
        note = self.folder / "sent" / study / str(dataset.SOPInstanceUID)
        note.parent.mkdir(exist_ok=True)
        note.touch()

    def finished(self, study: str) -> None:
        """From now on the images of a study are kept for `keep_h` hours."""
        folder = self.folder / "received" / study
        if folder.is_dir():
            (folder / FINISHED).touch()

    def _entity(self) -> Any:
        entity = AE(self.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = self.connection.timeout_s
        entity.connection_timeout = min(10.0, self.connection.timeout_s)
        return entity

    def _listen(self, host: str, port: int, senders: tuple[str, ...]) -> Any:
        entity = self._entity()
        entity.require_called_aet, entity.require_calling_aet = True, list(senders)
        hiding_bombs = DeflatedExplicitVRLittleEndian
        syntaxes = [syntax for syntax in ALL_TRANSFER_SYNTAXES if syntax != hiding_bombs]
        for sop_class in RECEIVED:
            entity.add_supported_context(sop_class, syntaxes)
        entity.add_supported_context(Verification)
        context = self._context(ssl.Purpose.CLIENT_AUTH) if self.connection.client_cert else None
        handlers = [(evt.EVT_C_STORE, self._receive)]
        return entity.start_server((host, port), block=False, evt_handlers=handlers, ssl_context=context)

    def _receive(self, event: Any) -> int:
        """Keep an image; it is on the disk before the sender is told so."""
        arriving = self.folder / "arriving" / f"{os.getpid()}-{id(event)}.dcm"
        try:
            if event.dataset_path.stat().st_size > self.largest:
                return OUT_OF_RESOURCES
            shutil.copyfile(event.dataset_path, arriving)
            header = _header(arriving)
            study, sop = header["StudyInstanceUID"], header["SOPInstanceUID"]
            if not (is_uid(study) and is_uid(sop)) or sop != event.request.AffectedSOPInstanceUID:
                return CANNOT_UNDERSTAND
            with arriving.open("rb+") as file:
                os.fsync(file.fileno())
            folder = self.folder / "received" / study
            folder.mkdir(exist_ok=True, mode=0o700)
            (folder / FINISHED).unlink(missing_ok=True)
            arriving.replace(folder / f"{sop}.dcm")
        except FileRefused:
            return CANNOT_UNDERSTAND
        except OSError as error:
            logger.error("an image that arrived could not be kept: %s", error.strerror)
            return OUT_OF_RESOURCES
        finally:
            arriving.unlink(missing_ok=True)
        return SUCCESS

    def _context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        """TLS with our certificate, where there is one; peers must have one that `ca_file` vouches for."""
        connection = self.connection
        context = ssl.create_default_context(purpose, cafile=connection.ca_file or None)
        if connection.client_cert:
            context.load_cert_chain(connection.client_cert, connection.client_key or None)
        if purpose == ssl.Purpose.CLIENT_AUTH and connection.ca_file:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _header(file: Path) -> dict[str, str]:
    """What a file tells of itself, as texts."""
    try:
        dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(HEADER))
        return {keyword: str(dataset.get(keyword) or "") for keyword in HEADER}
    except Exception as error:
        raise FileRefused(f"an image that arrived: got unreadable DICOM ({error}); want a complete file") from error


def _in_dates(file: Path, dates: str) -> bool:
    """Whether a study's date is in a range "20260101-20261231", "20260101-", "-20261231" or is "20260101"."""
    if not dates:
        return True
    first, dash, last = dates.partition("-")
    date = _header(file)["StudyDate"]
    return bool(date) and first <= date <= ((last or "99999999") if dash else first)
