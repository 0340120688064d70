"""What results tell about a patient: everything, keyed pseudonyms, or nothing."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.common.checks import check
from scripts.common.text import printable

MODES = ("full", "pseudonym", "none")
PERSONAL = ("patient_id", "study_uid", "series_uid", "sop_uid")  # of a report's "identity"
MIN_KEY_BYTES = 16


@dataclass(frozen=True)
class Identity:
    """How patients and files are named in results.

    "full": patient id, UIDs and paths as they are. "pseudonym": their HMAC-SHA256 under the key in `key_file`, so that
    the same patient has the same pseudonym in every run with this key, and nobody without it can find out whose it is.
    "none": no patient id, no UIDs; images are numbered. Burnt-in text stays in the pictures.
    """

    mode: str = "full"
    key_file: str = ""  # any file of at least 16 bytes, kept secret; for "pseudonym"

    def __post_init__(self) -> None:
        check("identity::mode", self.mode, self.mode in MODES, f"one of {', '.join(MODES)}")
        if self.mode == "pseudonym":
            _ = self._key

    @property
    def hidden(self) -> bool:
        """Whether names and paths are kept out of results."""
        return self.mode != "full"

    @property
    def settings(self) -> dict[str, Any]:
        """For `describe`: the mode, and a fingerprint of the key, which stays secret."""
        return {"mode": self.mode} | ({"key": self.pseudonym("key")} if self.mode == "pseudonym" else {})

    @cached_property
    def _key(self) -> bytes:
        return read_key("identity::key_file", self.key_file)

    def pseudonym(self, text: str) -> str:
        """16 hexadecimal digits of a text; "" of none."""
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), "sha256").hexdigest()[:16] if text else ""

    def uid(self, uid: str) -> str:
        """A valid DICOM UID (2.25., PS3.5 B.2) in place of another one; "" of none."""
        if self.mode == "full" or not uid:
            return uid
        if self.mode == "none":
            return ""
        digest = hmac.new(self._key, b"uid " + uid.encode(), hashlib.sha256).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"

    def image_id(self, name: str, number: int) -> str:
        """Name of an image's results, of its own `name` or its place in the list."""
        if self.mode == "pseudonym":
            return self.pseudonym(name)
        return f"image-{number:05d}" if self.mode == "none" else name

    def file(self, path: str, image_id: str) -> str:
        """What results say instead of a path."""
        return image_id if self.hidden else printable(path)

    def report(self, report: Mapping[str, Any], image_id: str) -> dict[str, Any]:
        """A report of one image (scripts/outputs/report.py) as this mode tells it."""
        if not self.hidden:
            return dict(report)
        person = dict(report["identity"])
        person |= {key: self.uid(person[key]) for key in PERSONAL if key.endswith("_uid")}
        person["patient_id"] = self.pseudonym(person["patient_id"]) if self.mode == "pseudonym" else ""
        return {**report, "file": image_id, "name": image_id, "identity": person}

    def failure(self, failure: Mapping[str, str], image_id: str) -> dict[str, str]:
        """A failure record {"file", "stage", "reason"}, one line each; the path is replaced in the reason, too."""
        path = failure["file"]
        reason = failure["reason"]
        if self.hidden:
            for known in (path, Path(path).name):
                reason = reason.replace(known, image_id) if known else reason
        return {**failure, "file": self.file(path, image_id), "reason": printable(reason)}


def read_key(name: str, path: str | Path) -> bytes:
    """A secret key from a file; `name` is the setting that holds its path, for errors (ValueError)."""
    want = f"a file that holds a secret of at least {MIN_KEY_BYTES} bytes"
    check(name, str(path), str(path) and Path(path).expanduser().is_file(), want)
    key = Path(path).expanduser().read_bytes().strip()
    check(name, f"{path} of {len(key)} bytes", len(key) >= MIN_KEY_BYTES, want)
    return key
