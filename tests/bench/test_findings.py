"""The bench of findings on a small image: every part is timed, on as many marks as are there."""

from scripts.bench.findings import findings_section


def test_parts_are_timed_on_the_marks_that_are_there():
    section = findings_section(runs=1, marks=40, shape=(700, 600))
    names = [row["part"] for row in section.rows]
    assert names[:2] == ["parting", "wholes"] and names[-1] == "all of the analysis"
    assert {row["marks"] for row in section.rows} == {section.rows[0]["marks"]}
    assert 20 < section.rows[0]["marks"] <= 40
    assert all(row["processor s"] >= 0 for row in section.rows)
    assert "of processor time" in section.notes[0]
