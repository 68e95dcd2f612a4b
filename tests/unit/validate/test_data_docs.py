"""Data Docs are pages that a person can open without a network, the same bytes from the same verdicts."""

import re

import pytest

from pipelines.domain.bars import Interval
from pipelines.validate.bars import validated
from pipelines.validate.data_docs import SHOWN_SENTENCES, write_data_docs
from tests.unit.validate.builders import a_raw_market, some_bars, validation


@pytest.fixture(scope="module")
def found():
    bars = some_bars()
    bars.loc[50, "low"] = -1.0
    bars.loc[60, "close"] += 0.013
    return validated(a_raw_market(bars), Interval.DAY, validation())


def written(found, folder) -> dict[str, str]:
    write_data_docs(folder, found.verdicts, found.findings, "day bars <of> a test", len(found.quarantine))
    return {page.name: page.read_text(encoding="utf-8") for page in folder.iterdir()}


def test_the_index_tells_what_was_found_and_leads_to_every_suite(found, tmp_path):
    pages = written(found, tmp_path / "docs")

    index = pages["index.html"]
    assert set(pages) == {"index.html", "raw_bars.html", "instruments.html", "validated_bars.html"}
    assert set(re.findall(r"href='([^']+)'", index)) == set(pages) - {"index.html"}
    assert "not_positive" in index
    assert "ABC.csv row 52: low -1 is not above zero" in index
    assert "day bars &lt;of&gt; a test" in index


def test_a_suite_shows_broken_expectations_first_with_rule_and_severity(found, tmp_path):
    page = written(found, tmp_path / "docs")["raw_bars.html"]

    sections = page.split('class="ge-section')[1:]
    assert "fa-times" in sections[0]
    assert "fa-times" not in sections[-1]
    assert "not_positive <span class='quarantine'>" in page
    assert "unexpected values found" in page
    assert "&lt;i" not in page


def test_pages_need_no_network_and_are_the_same_bytes_again(found, tmp_path):
    pages = written(found, tmp_path / "docs")

    again = written(found, tmp_path / "again")

    assert pages == again
    for page in pages.values():
        assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", page)
        assert "<script" not in page
        assert "<link" not in page


def test_the_index_shows_what_ingest_told(found, tmp_path):
    told = [f"file {place}.csv <odd>: stamps moved back" for place in range(SHOWN_SENTENCES + 5)]

    write_data_docs(tmp_path / "docs", found.verdicts, found.findings, "a test", 0, told)

    index = (tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    assert "file 7.csv &lt;odd&gt;: stamps moved back" in index
    assert index.count("<li>") == SHOWN_SENTENCES
    assert "and 5 more" in index
