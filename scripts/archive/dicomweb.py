"""An archive over DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS.

dicomweb-client searches and stores. Images are fetched over its session, but straight into a file: they stay byte for
byte what the archive holds, memory stays bounded, and nothing is parsed before its size is known.
"""

import logging
import shutil
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from requests.adapters import HTTPAdapter
from retrying import RetryError

from scripts.archive.archive import (
    ArchiveUnreachable,
    Connection,
    FileRefused,
    FoundStudy,
    Instance,
    StoreRefused,
    Wanted,
    check_is,
    is_uid,
)
from scripts.common.checks import check

logger = logging.getLogger(__name__)
#: They log UIDs and addresses that hold UIDs.
for name in ("dicomweb_client", "urllib3", "retrying"):
    logging.getLogger(name).setLevel(logging.ERROR)

LARGEST_JSON = 64_000_000  # bytes
PAGE = 500  # results of a search at a time
UNREACHABLE = frozenset({401, 403, 407, 429, 502, 503, 504})  # nothing that a study could be blamed for
BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.TooManyRedirects,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.JSONDecodeError,
    RetryError,
)
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
STUDY, INSTANCES, SERIES, SOP, SOP_CLASS, MODALITY = (
    "0020000D", "00201208", "0020000E", "00080018", "00080016", "00080060",
)  # fmt: skip


class Token(requests.auth.AuthBase):
    """A bearer token, read anew from its file for each request."""

    def __init__(self, file: str) -> None:
        self.file = Path(file).expanduser()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add it to a request."""
        request.headers["Authorization"] = f"Bearer {self.file.read_text(encoding='ascii').strip()}"
        return request


class Bounded(HTTPAdapter):
    """Answers of at most `largest` bytes, compressed or not; a longer one is a FileRefused while it is read.

    Answers in JSON are kept in memory, so `LARGEST_JSON` is their bound.
    """

    def __init__(self, largest: int) -> None:
        super().__init__()
        self.largest = largest

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, and bound what is read of its answer."""
        response = super().send(request, *args, **kwargs)
        stream = response.raw.stream
        largest = self.largest if request.headers.get("Accept") == ACCEPT else min(self.largest, LARGEST_JSON)

        def bounded(*words: Any, **options: Any) -> Iterator[bytes]:
            left = largest
            for chunk in stream(*words, **options):
                left -= len(chunk)
                if left < 0:
                    raise FileRefused(
                        f"the archive's answer: got more than {largest} bytes; want less, or --largest-mb"
                    )
                yield chunk

        response.raw.stream = bounded
        return response


def make_session(connection: Connection) -> requests.Session:
    """A session with the connection's certificates, token and bounds; it follows no redirection and no proxy."""
    session = requests.Session()
    session.trust_env, session.max_redirects = False, 0
    for scheme in ("http://", "https://"):
        session.mount(scheme, Bounded(round(connection.largest_mb * 1e6)))
    if connection.ca_file:
        session.verify = str(Path(connection.ca_file).expanduser())
    if connection.client_cert:
        files = [str(Path(file).expanduser()) for file in (connection.client_cert, connection.client_key) if file]
        session.cert = (files[0], files[1]) if len(files) == 2 else files[0]
    if connection.token_file:
        session.auth = Token(connection.token_file)
    return session


class DicomWebArchive:
    """An archive over DICOMweb."""

    def __init__(self, connection: Connection) -> None:
        self.connection, parts = connection, urlsplit(connection.url)
        check("archive", connection.url, parts.scheme in ("http", "https") and parts.hostname, "https://host/dicom-web")
        check("archive", "an address with a password", parts.password is None, "--token-file")
        connection.check_encrypted(parts.hostname or "", parts.scheme == "https")
        self.session, timeout = make_session(connection), (min(10.0, connection.timeout_s), connection.timeout_s)
        self.timeout = timeout
        self.client = DICOMwebClient(connection.url.rstrip("/"), session=self.session, timeout=timeout)
        self.client.set_http_retry_params(max_attempts=connection.attempts)

    def studies(self, wanted: Wanted) -> Iterator[FoundStudy]:
        """Studies that match, by QIDO-RS."""
        if wanted.studies:
            yield from (FoundStudy(uid, None) for uid in wanted.studies)
            return
        filters: dict[str, Any] = {"ModalitiesInStudy": wanted.modality}
        if wanted.dates:
            filters["StudyDate"] = wanted.dates
        fields = ["NumberOfStudyRelatedInstances"]
        for entry in self._pages(STUDY, self.client.search_for_studies, search_filters=filters, fields=fields):
            number = _value(entry, INSTANCES)
            yield FoundStudy(_value(entry, STUDY), int(number) if str(number).isdigit() else None)

    def instances(self, study: str) -> list[Instance]:
        """All instances of a study, by QIDO-RS."""
        fields = ["SOPClassUID", "Modality"]
        search = self.client.search_for_instances
        found = []
        for entry in self._pages(SOP, search, study_instance_uid=study, fields=fields):
            series, sop, sop_class, modality = (str(_value(entry, tag)) for tag in (SERIES, SOP, SOP_CLASS, MODALITY))
            if is_uid(series) and is_uid(sop_class):
                found.append(Instance(study, series, sop, sop_class, modality))
        return found

    def fetch(self, instance: Instance, path: Path) -> Path:
        """An image, by WADO-RS, streamed into a file as the archive holds it."""
        place = f"studies/{instance.study}/series/{instance.series}/instances/{instance.sop}"
        whole = path.with_suffix(".answer")
        try:
            with (
                _told(),
                self.session.get(
                    f"{self.client.base_url}/{place}", headers={"Accept": ACCEPT}, stream=True, timeout=self.timeout
                ) as answer,
            ):
                answer.raise_for_status()
                with whole.open("wb") as file:
                    for chunk in answer.iter_content(1 << 20):
                        file.write(chunk)
                kind = answer.headers.get("Content-Type", "")
            _extract(whole, kind, path)
        except requests.HTTPError as error:
            raise FileRefused(
                f"the archive's answer: got status {error.response.status_code}; want an image"
            ) from error
        finally:
            whole.unlink(missing_ok=True)
        check_is(path, instance)
        return path

    def store(self, file: Path, study: str) -> None:
        """A result, by STOW-RS; refused because it is there already is stored. Into any study where `study` is ""."""
        dataset = dcmread(file)
        try:
            with _told():
                answer = self.client.store_instances([dataset], study or None)
                refused = [str(item.get("FailureReason", "?")) for item in answer.get("FailedSOPSequence", [])]
        except requests.HTTPError as error:
            refused = [f"status {error.response.status_code}"]
        if refused and dataset.SOPInstanceUID not in {instance.sop for instance in self.instances(study)}:
            raise StoreRefused(f"{file.name}: got refused by the archive ({', '.join(refused)}); want it stored")

    def finished(self, study: str) -> None:
        """The archive keeps its images."""

    def _pages(self, tag: str, search: Any, **question: Any) -> Iterator[Any]:
        """Results of a search whose value of `tag` is a UID, each once, whatever the size of the archive's pages."""
        seen: set[str] = set()
        offset = 0
        while True:
            with _told(least=500 if tag == STUDY else 600):
                page = search(**question, limit=PAGE, offset=offset)
            entries = [entry for entry in page if isinstance(entry, dict)] if isinstance(page, list) else []
            uids = [(str(_value(entry, tag)), entry) for entry in entries]
            fresh = {uid: entry for uid, entry in uids if uid not in seen}
            if not fresh:
                return
            for uid, entry in fresh.items():
                if is_uid(uid):
                    yield entry
                else:
                    logger.warning("a result of the archive's search was passed over: its UID is none")
            seen |= fresh.keys()
            offset += len(page)


def _value(entry: Any, tag: str) -> Any:
    """First value of an attribute in DICOM JSON; "" where there is none."""
    value = entry.get(tag, {})
    values = value.get("Value") if isinstance(value, dict) else None
    return values[0] if isinstance(values, list) and values else ""


def _extract(whole: Path, content_type: str, path: Path) -> None:
    """The one part of a multipart answer, or the answer itself, as a file."""
    header = Message()
    header["Content-Type"] = content_type
    size, boundary = whole.stat().st_size, header.get_boundary("")
    start, end = 0, size
    with whole.open("rb") as file:
        if header.get_content_type() == "multipart/related" and boundary:
            head = file.read(1 << 16)
            start = head.find(b"\r\n\r\n", head.find(b"--" + boundary.encode())) + 4
            file.seek(max(0, size - (1 << 16)))
            tail = file.read()
            end = size - len(tail) + tail.rfind(b"\r\n--" + boundary.encode())
            if start < 4 or end < start or tail.rfind(b"\r\n--" + boundary.encode()) < 0:
                raise FileRefused("the archive's answer: got a multipart message without end; want one part")
        file.seek(start)
        with path.open("wb") as part:
            shutil.copyfileobj(file, part, 1 << 20)
            part.truncate(end - start)


class _told:
    """In this block, what means that the archive cannot be reached, as statuses from `least` on, is raised as that."""

    def __init__(self, least: int = 600) -> None:
        self.least = least

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        status = error.response.status_code if isinstance(error, requests.HTTPError) else 0
        if status in UNREACHABLE or status >= self.least:
            raise ArchiveUnreachable(f"the archive answers with status {status}") from error
        if isinstance(error, BROKEN):
            raise ArchiveUnreachable(f"the archive cannot be reached: {type(error).__name__}") from error
