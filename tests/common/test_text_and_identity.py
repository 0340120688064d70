"""Names from outside made harmless, and what results tell about a patient."""

import hashlib
import hmac
import os

import pydicom
import pytest

from scripts.common.identity import Identity
from scripts.common.settings import describe
from scripts.common.tables import read_csv, write_csv
from scripts.common.text import printable


def test_texts_are_one_line_of_valid_unicode():
    name = os.fsdecode(b"a\xff\n\x1b[2J\xc3\xa9")
    assert printable(name) == "a\\xff\\x0a\\x1b[2Jé"
    assert printable("left\u202eright\u2028x") == "left\\u202eright\\u2028x"
    printable(name).encode("utf-8")


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "key").write_bytes(b"0123456789abcdef\n")
    return str(tmp_path / "key")


def test_a_pseudonym_is_the_keyed_hash_and_the_same_in_every_run(secret):
    identity = Identity("pseudonym", secret)
    wanted = hmac.new(b"0123456789abcdef", b"Jane", hashlib.sha256).hexdigest()[:16]
    assert identity.pseudonym("Jane") == wanted == Identity("pseudonym", secret).pseudonym("Jane")
    assert identity.pseudonym("") == ""
    uid = identity.uid("1.2.840.1")
    assert pydicom.uid.UID(uid).is_valid and uid != identity.uid("1.2.840.2")
    assert "0123456789" not in str(describe(identity))


def test_a_key_that_is_missing_or_short_is_an_error(tmp_path):
    (tmp_path / "short").write_text("abc")
    for key, got in (("", "got ''"), (str(tmp_path / "none"), "none"), (str(tmp_path / "short"), "of 3 bytes")):
        with pytest.raises(
            ValueError, match=f"identity::key_file: got .*{got.removeprefix('got ')}.*at least 16 bytes"
        ):
            Identity("pseudonym", key)
    with pytest.raises(ValueError, match="identity::mode: got 'hidden'; want one of full, pseudonym, none"):
        Identity("hidden")


def test_spreadsheets_run_no_text_of_a_table_and_it_is_read_back_as_it_was(tmp_path):
    texts = ["=cmd|' /C calc'!A0", "+1+1", "@x", "-x", "'=quoted", "-0.5", "1e-3", "plain", "'apostrophe"]
    path = write_csv(tmp_path / "t.csv", ["id", "value"], [{"id": text, "value": -2.5} for text in texts])
    cells = [line.partition(",")[0].strip('"') for line in path.read_text().splitlines()[1:]]
    assert not any(cell[0] in "=+@" or (cell[0] == "-" and cell != "-0.5") for cell in cells)
    assert [row["id"] for row in read_csv(path)] == texts
    assert {row["value"] for row in read_csv(path)} == {"-2.5"}
