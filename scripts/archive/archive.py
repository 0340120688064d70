"""What the worker asks of an archive; dicomweb.py and dimse.py are two of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from scripts.common.checks import check, check_fields
from scripts.data.reader.dicom_file import open_dataset

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
UID = re.compile(r"[0-9]+(\.[0-9]+)+")  # and at most 64 characters
DATE = re.compile(r"[0-9]{8}(-([0-9]{8})?)?|-[0-9]{8}")


class ArchiveUnreachable(OSError):
    """The archive does not answer, or lets nobody in: no study's fault, so the worker waits and asks again."""


class FileRefused(ValueError):
    """What the archive sent for one image is not that image, not DICOM, or too large."""


class StoreRefused(ValueError):
    """The archive did not take a result."""


@dataclass(frozen=True)
class Wanted:
    """Which studies, and which images of them, are segmented."""

    modality: str = "MG"
    dates: str = ""  # StudyDate as QIDO has it: "20260101", "20260101-20261231", "20260101-"; "" for all
    studies: tuple[str, ...] = ()  # study instance UIDs; none for all
    sop_classes: tuple[str, ...] = (MG_FOR_PRESENTATION,)  # images of other classes are passed over

    def __post_init__(self) -> None:
        check("modality", self.modality, re.fullmatch("[A-Z]{1,16}", self.modality), "a modality, such as MG")
        check("dates", self.dates, not self.dates or DATE.fullmatch(self.dates), "YYYYMMDD or YYYYMMDD-YYYYMMDD")
        for uid in (*self.studies, *self.sop_classes):
            check("uid", uid, is_uid(uid), "a UID")

    def takes(self, instance: "Instance") -> bool:
        """Whether an instance is an image to segment."""
        return instance.modality == self.modality and instance.sop_class in self.sop_classes


@dataclass(frozen=True)
class FoundStudy:
    """A study that an archive holds."""

    uid: str
    instances: int | None  # how many instances it has, of all kinds; None where the archive does not tell


@dataclass(frozen=True, order=True)
class Instance:
    """An instance of a study: an image, a result."""

    study: str
    series: str
    sop: str
    sop_class: str
    modality: str


class Archive(Protocol):
    """Where studies come from, and results go.

    Every method may raise `ArchiveUnreachable`.
    """

    def studies(self, wanted: Wanted) -> Iterator[FoundStudy]:
        """Studies that match, each once."""

    def instances(self, study: str) -> list[Instance]:
        """All instances of a study, results among them; those of an archive that cannot tell: what was sent."""

    def fetch(self, instance: Instance, path: Path) -> Path:
        """Write an image to a file, and check that it is the one (`check_is`). FileRefused if it is not."""

    def store(self, file: Path, study: str) -> None:
        """Store a result; one that is there already is no error. StoreRefused if it was not taken."""

    def finished(self, study: str) -> None:
        """Told when a study is done or has failed for good."""


@dataclass(frozen=True)
class Connection:
    """How the archive is reached: loopback or encrypted, unless `unencrypted` says otherwise."""

    url: str  # https://host/dicom-web, http://127.0.0.1:8042/dicom-web, dicom://AET@host:port
    ca_file: str = ""  # certificates that the archive's one must follow from; "" for the usual ones
    client_cert: str = ""  # PEM file of our certificate
    client_key: str = ""  # PEM file of its key; "" where the certificate's file holds it
    token_file: str = ""  # file of a bearer token, read anew for each request, as tokens change
    unencrypted: bool = False  # leave to send images and results over a network in plain
    timeout_s: float = 60.0  # without a byte from the archive
    largest_mb: float = 512.0  # of one image or answer, 10^6 bytes
    attempts: int = 3  # at one request, where the archive says that it is busy

    def __post_init__(self) -> None:
        check_fields(self, timeout_s="(0, inf)", largest_mb="(0, inf)", attempts="[1, 20]")
        for name in ("ca_file", "client_cert", "client_key", "token_file"):
            file = getattr(self, name)
            check(name, file, not file or Path(file).expanduser().is_file(), "an existing file")

    def check_encrypted(self, host: str, encrypted: bool) -> None:
        """ValueError where images would travel a network in plain without leave."""
        told = f"{self.url}, in plain over a network"
        fine = encrypted or self.unencrypted or is_loopback(host)
        check("archive", told, fine, "https or TLS, a loopback address, or --unencrypted")


def is_loopback(host: str) -> bool:
    """Whether a host is this computer."""
    return host.strip("[]") in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


def is_uid(text: object) -> bool:
    """Whether a text is a UID (PS3.5 chapter 9); what is none must reach no address and no file name."""
    return isinstance(text, str) and len(text) <= 64 and UID.fullmatch(text) is not None


def check_is(file: Path, instance: Instance) -> None:
    """FileRefused unless a file is the DICOM image that was asked for."""
    try:
        dataset = open_dataset(file)
    except ValueError as error:
        raise FileRefused(str(error).replace(str(file), "the archive's answer")) from error
    wanted = {"SOPInstanceUID": instance.sop, "SeriesInstanceUID": instance.series, "StudyInstanceUID": instance.study}
    for keyword, uid in wanted.items():
        got = str(dataset.get(keyword, ""))
        if got != uid:
            raise FileRefused(f"the archive's answer: got {keyword} {got!r}; want {uid}")


def write_stand_in(path: Path, instance: Instance) -> Path:
    """A header that holds what the archive tells of an image that could not be had: reports name it as failed."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = instance.sop_class, instance.sop
    header.StudyInstanceUID, header.SeriesInstanceUID = instance.study, instance.series
    header.Modality = instance.modality
    header.ensure_file_meta()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
    return path
