"""What a result folder holds, to the byte: digests in the run report, and the command that checks them.

    python -m scripts.outputs.manifest <folder> [--key_file FILE]

Every image's entry has the SHA-256 of its input and of each of its files; the report has those of the weights and of
the settings, and a digest of itself. With a key that digest is an HMAC-SHA256, so that nobody without the key can
change results and report unnoticed. Exit status: 0 as written, 1 something differs, 2 no such report.
"""

import hashlib
import hmac
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.common.command_line import Parser
from scripts.common.files import sha256_of
from scripts.common.identity import read_key
from scripts.common.text import printable
from scripts.data.lists.folder import REPORT_NAME

SCHEMA = "microcalcification-run-2"


def read_report(folder: str | Path, name: str = REPORT_NAME) -> dict[str, Any] | None:
    """The run report in a folder; None where there is none of this bundle's (of this version) that can be read."""
    try:
        report = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(report, dict) and report.get("schema") == SCHEMA and isinstance(report.get("images"), list)
    return report if ours and all(isinstance(entry, dict) for entry in report["images"]) else None


def digest_of(content: Any) -> str:
    """SHA-256 of JSON content, whatever the order of its keys."""
    return hashlib.sha256(_canonical(content)).hexdigest()


def seal(report: Mapping[str, Any], key: bytes = b"") -> dict[str, Any]:
    """The report with a digest of all else it holds, as "seal": {"method", "value"}."""
    content = {name: value for name, value in report.items() if name != "seal"}
    if key:
        value = {"method": "HMAC-SHA256", "value": hmac.new(key, _canonical(content), "sha256").hexdigest()}
    else:
        value = {"method": "SHA-256", "value": digest_of(content)}
    return content | {"seal": value}


def file_digests(output_dir: Path, source: str | Path, outputs: Mapping[str, str]) -> dict[str, str]:
    """{"input": SHA-256, name of output: SHA-256, ...} of one image."""
    return {"input": sha256_of(source)} | {name: sha256_of(output_dir / file) for name, file in outputs.items()}


def entry_differences(output_dir: Path, entry: Mapping[str, Any]) -> Iterator[str]:
    """What differs between a report's entry of an image and its files, in words."""
    outputs, recorded = entry.get("outputs") or {}, entry.get("sha256") or {}
    for name, file in outputs.items():
        path = output_dir / str(file)
        if not path.is_file():
            yield f"{printable(file)}: is missing"
        elif sha256_of(path) != recorded.get(name):
            yield f"{printable(file)}: was changed"


def verify(folder: str | Path, key: bytes = b"") -> list[str]:
    """What is not as it was written, in words; nothing where all is.

    Raises:
        ValueError: the folder holds no run report.
    """
    root = Path(folder)
    report = read_report(root)
    if report is None:
        raise ValueError(f"{printable(root)}: got no {REPORT_NAME} of this version there; want results of a run")
    sealed = report.get("seal") or {}
    wanted = seal(report, key)["seal"]
    found: list[str] = []
    if key and sealed.get("method") != wanted["method"]:
        found.append(f"{REPORT_NAME}: is not signed")
    elif not key and sealed.get("method") != wanted["method"]:
        found.append(f"{REPORT_NAME}: is signed; give --key_file to check it")
    elif not hmac.compare_digest(str(sealed.get("value")), wanted["value"]):
        found.append(f"{REPORT_NAME}: was changed" + (", or signed with another key" if key else ""))
    tables = {"outputs": {name: name for name in report.get("tables", {})}, "sha256": report.get("tables", {})}
    found += entry_differences(root, tables)
    for entry in (*report["images"], *report.get("earlier_images", [])):
        found += entry_differences(root, entry)
    return found


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def main(words: Sequence[str] | None = None) -> None:
    """Check the folder named on the command line, or in `words`."""
    parser = Parser(prog="python -m scripts.outputs.manifest", description="Check a result folder.")
    parser.add_argument("folder", help="with a run_report.json")
    parser.add_argument("--key_file", default="", help="the key that the report was signed with")
    arguments = parser.parse_args(words)
    try:
        key = read_key("--key_file", arguments.key_file) if arguments.key_file else b""
        found = verify(arguments.folder, key)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    for line in found:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{len(found)} differences\n" if found else "all files are as they were written\n")
    sys.exit(int(bool(found)))


if __name__ == "__main__":
    main()
