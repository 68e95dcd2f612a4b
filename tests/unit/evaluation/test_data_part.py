"""The report's part on data tells what was set aside, how complete the rest is, and where all of it stands."""

from pipelines.evaluation.data_part import SHOWN_INSTRUMENTS, data_note, data_part


def a_finding(rule: str, severity: str, rows: int, table: str = "bars") -> dict:
    return {"rule": rule, "table": table, "severity": severity, "rows": rows, "instruments": 2, "examples": ["A <row>"]}


FINDINGS = [
    a_finding("not_positive", "quarantine", 7),
    a_finding("tick_size", "warn", 40),
    a_finding("thin_sessions", "warn", 2, "instruments"),
    a_finding("drift", "warn", 1),
]


def completeness(count: int) -> dict:
    return {
        f"S{number:02d}": {"bars": 100, "quarantined": 1, "completeness": 1 - number / 100, "missing_sessions": number}
        for number in range(count)
    }


def test_the_note_counts_rows_and_no_instruments():
    assert data_note(FINDINGS, completeness(3)) == "300 bars of 3 instruments; rows set aside: 7, odd rows kept: 40."


def test_the_least_complete_instruments_stand_first_and_the_others_in_one_line(tmp_path):
    part = data_part(FINDINGS, completeness(12), tmp_path / "reports/data_docs/index.html", tmp_path / "data/e.html")

    assert part.index("S11") < part.index("S10")
    assert "S03" not in part
    assert f"{12 - SHOWN_INSTRUMENTS} others" in part
    assert "A &lt;row&gt;" in part
    assert "href='../reports/data_docs/index.html'" in part


def test_sound_data_are_told_so(tmp_path):
    assert "No rule was broken" in data_part([], completeness(1), tmp_path / "a.html", tmp_path / "b.html")


def test_the_report_shows_what_ingest_told(tmp_path):
    told = ["CIPLA.csv: stamps mark the end of bars; moved back by 5 min", "notes.pdf <b> is left out"]

    part = data_part([], completeness(1), tmp_path / "a.html", tmp_path / "b.html", told)

    assert "<li>CIPLA.csv: stamps mark the end of bars; moved back by 5 min</li>" in part
    assert "notes.pdf &lt;b&gt; is left out" in part
