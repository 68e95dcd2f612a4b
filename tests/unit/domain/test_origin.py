"""Whose bars a policy was made on, in words, and that nothing made by a generator reads as real."""

import pytest

from pipelines.domain.origin import origin_of

LAKE = {"source": "lake", "lake": {"learnt_until": "2026-10-30T18:00:00+05:30"}}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["kite"], "real bars of Kite's history from the lake, as it was on 2026-10-30 18:00"),
        (["bhavcopy", "kite"], "real bars of NSE's bhavcopy and Kite's history from the lake"),
        (["files:data/mine"], "real bars of files (data/mine) from the lake"),
    ],
)
def test_a_lake_of_market_bars_is_real_and_names_them(names, words):
    origin = origin_of(LAKE | {"lake": LAKE["lake"] | {"bars_of": names}})

    assert origin.source == "lake"
    assert origin.bars.startswith(words)


@pytest.mark.parametrize("names", [["kite", "paper_exchange"], ["generator"], [], None])
def test_a_lake_with_other_bars_is_no_real_source(names):
    origin = origin_of(LAKE | {"lake": LAKE["lake"] | {"bars_of": names}})

    assert origin.source == "simulated"
    assert "which no market made" in origin.bars


@pytest.mark.parametrize(
    ("simulated", "words", "edge"),
    [
        ({"edge": "news", "edge_strength": 1.0}, "simulated market with a planted news edge of strength 1", "news"),
        ({"edge": "none", "edge_strength": 1.0}, "simulated market without an edge", "none"),
        ({"edge": "news", "edge_strength": 0.0}, "simulated market without an edge", "none"),
    ],
)
def test_a_planted_edge_is_called_so(simulated, words, edge):
    origin = origin_of({"source": "simulated", "simulated": simulated})

    assert (origin.source, origin.bars, origin.planted_edge) == ("simulated", words, edge)


def test_files_are_real_and_an_unknown_source_is_not():
    assert origin_of({"source": "files", "folder": "nse/daily"}).bars == "real bars from nse/daily"
    assert origin_of({"source": "satellite"}).source == "simulated"
