"""Hostile annotations and lists: deep, huge, expanding or of wrong types; each is one clear error."""

from __future__ import annotations

import pytest

from scripts.data.labels.inbreast_xml import read_rois
from scripts.data.labels.points import points_to_label
from scripts.data.reader.errors import MammogramReadError
from scripts.data.text_files import csv_rows, json_content

HEAD = b'<?xml version="1.0"?><plist version="1.0">'
DEEP = b"<array>" * 100_000 + b"</array>" * 100_000
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><plist><string>&b;</string></plist>'


def plist(roi: bytes) -> bytes:
    return (
        HEAD
        + b"<dict><key>Images</key><array><dict><key>ROIs</key><array>"
        + roi
        + b"</array></dict></array></dict></plist>"
    )


def roi(**entries: bytes) -> bytes:
    points = b"<key>Point_px</key><array><string>(3, 4)</string></array>"
    inside = {name.encode(): value for name, value in entries.items()}
    return (
        b"<dict>"
        + points
        + b"".join(b"<key>" + name + b"</key>" + value for name, value in inside.items())
        + b"</dict>"
    )


XML = {
    "deep": HEAD + DEEP + b"</plist>",
    "deep and cut": HEAD + DEEP[:300_000],
    "deep ROIs": plist(DEEP),
    "deep name": plist(roi(Name=DEEP)),
    "deep point": plist(b"<dict><key>Point_px</key><array>" + DEEP + b"</array></dict>"),
    "endless area": plist(roi(Area=b"<integer>" + b"9" * 400 + b"</integer>")),
    "endless number": plist(roi(Type=b"<integer>" + b"9" * 5000 + b"</integer>")),
    "type of another type": plist(roi(Type=b"<array/>")),
    "entities": LAUGHS,
    "no XML": b"\x00" * 300,
    "empty": b"",
    "date": HEAD + b"<date>99999-99-99T00:00:00Z</date></plist>",
    "binary plist": b"bplist00" + bytes(range(64)),
}
POINTS = {
    "deep.json": b"[" * 100_000,
    "deep_value.json": b'[{"row": ' + b"[" * 500 + b"]" * 500 + b', "col": 1}]',
    "huge.json": b'[{"row": 1' + b"0" * 400 + b', "col": 1}]',
    "nan.json": b'[{"row": NaN, "col": 1}]',
    "not_utf8.json": b'[{"row": "\xff", "col": 1}]',
    "number.json": b"7",
    "nul.csv": b"row,col\n1,\x002\n",
    "not_utf8.csv": b"row,col\n\xff,2\n",
    "endless.csv": b"row,col\n" + b"1" * 200_000 + b",2\n",
    "infinite.csv": b"row,col\ninf,2\n",
    "empty.csv": b"",
}


@pytest.mark.parametrize("name", XML)
def test_hostile_xml(tmp_path, name):
    path = tmp_path / "x.xml"
    path.write_bytes(XML[name])
    with pytest.raises(MammogramReadError) as caught:
        read_rois(path)
    assert str(caught.value).startswith(f"{path}: got ")
    assert len(str(caught.value)) < 1200


@pytest.mark.parametrize("name", POINTS)
def test_hostile_points(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(POINTS[name])
    with pytest.raises(MammogramReadError) as caught:
        points_to_label(path, (96, 80), (0.07, 0.07))
    assert str(caught.value).startswith(f"{path}: got ")
    assert len(str(caught.value)) < 1200


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"\xff\xfe", b"{", b"9" * 5000])
def test_hostile_lists(tmp_path, content):
    path = tmp_path / "list.json"
    path.write_bytes(content)
    with pytest.raises(MammogramReadError, match=r"list\.json: got"):
        json_content(path, "a list")
    path.write_bytes(content.replace(b"[", b'"') + b"\n\x00")
    with pytest.raises(MammogramReadError, match=r"list\.json: got"):
        csv_rows(path, "a table", ("image",))
