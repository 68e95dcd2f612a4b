"""Sources of one series merged: the first counts, the others fill its gaps where they stand on the same level."""

import pandas as pd
import pytest

from pipelines.ingest.priority import Told, Tolerance, merge, rank, union
from tests.unit.ingest.lake_builders import actions, news, some_bars

TOLERANCE = Tolerance(price=0.002, volume=0.05)


def merged(**told: list[tuple[int, float]]):
    return merge([Told(source, some_bars(closes)) for source, closes in told.items()], TOLERANCE)


def test_the_first_source_counts_and_the_second_fills_its_gaps():
    found = merged(kite=[(0, 100.0), (2, 102.0)], bhavcopy=[(0, 100.1), (1, 101.0), (2, 102.0)])

    assert found.bars["close"].tolist() == [100.0, 101.0, 102.0]
    assert (found.filled, found.refused) == ({"bhavcopy": 1}, {})
    assert len(found.disagreements) == 0


def test_a_third_source_fills_what_two_left_open():
    found = merged(a=[(0, 100.0)], b=[(0, 100.0), (1, 101.0)], c=[(0, 100.0), (1, 150.0), (2, 102.0)])

    assert found.bars["close"].tolist() == [100.0, 101.0]
    assert (found.filled, found.refused) == ({"b": 1}, {"c": 1})


def test_a_source_on_another_price_level_fills_nothing_there():
    split = [(n, 50.0) for n in range(4)] + [(n, 100.0) for n in range(4, 8)]
    gaps = [(n, 100.0) for n in (0, 1, 3, 4, 5, 7)]

    found = merged(traded=gaps, adjusted=split)

    assert found.bars["open_time"].dt.minute.tolist() == [
        15,
        20,
        30,
        35,
        40,
        45,
        50,
    ]  # 09:25 stays open, 09:45 is filled
    assert (found.filled, found.refused) == ({"adjusted": 1}, {"adjusted": 1})


def test_series_that_share_no_bar_are_joined():
    found = merged(kite=[(5, 100.0)], archive=[(0, 99.0), (1, 99.5)])

    assert found.bars["close"].tolist() == [99.0, 99.5, 100.0]


def test_faulty_rows_of_the_first_stay_and_those_of_the_second_fill_nothing():
    kite, other = some_bars([(0, 100.0), (0, 100.0), (1, -1.0)]), some_bars([(1, 101.0), (2, 102.0), (3, 103.0)])
    other.loc[1, "high"] = 1.0

    found = merge([Told("kite", kite), Told("other", other)], TOLERANCE)

    assert found.bars["close"].tolist() == [100.0, 100.0, -1.0]  # beside the gap the closes differ, too
    assert found.refused == {"other": 1}  # the impossible one is not even asked


def test_where_sources_differ_is_told_with_both_values():
    kite, other = some_bars([(0, 100.0), (1, 101.0)]), some_bars([(0, 100.0), (1, 101.0)])
    other.loc[1, ["high", "volume"]] = [101.5, 50]

    found = merge([Told("kite", kite), Told("bhavcopy", other)], TOLERANCE).disagreements

    assert found["field"].tolist() == ["high", "volume"]
    assert found["value"].tolist() == [101.0, 100.0]
    assert found["other_value"].tolist() == [101.5, 50.0]
    assert set(found["source"]) == {"kite"}
    assert set(found["other_source"]) == {"bhavcopy"}
    assert set(found["open_time"]) == {kite["open_time"][1]}


def test_a_source_without_volume_does_not_disagree():
    found = merge([Told("kite", some_bars([(0, 1.0)])), Told("b", some_bars([(0, 1.0)]).assign(volume=0))], TOLERANCE)

    assert len(found.disagreements) == 0


@pytest.mark.parametrize(
    ("priority", "first"),
    [
        (["kite", "files"], "kite"),
        (["files", "kite"], "files:archive"),
        ([], "bhavcopy"),
        (["files:archive"], "files:archive"),
    ],
)
def test_sources_rank_as_priority_names_them_and_the_others_by_name(priority, first):
    sources = ["kite", "files:archive", "bhavcopy"]

    assert min(sources, key=lambda source: rank(source, priority)) == first


def test_actions_of_two_sources_are_told_once_as_the_first_says():
    found = union(
        [actions(("2026-03-02", 2.0, None)), actions(("2026-03-02", 5.0, None), ("2026-04-01", 3.0, None))], "actions"
    )

    assert found["ratio"].tolist() == [2.0, 3.0]


def test_a_headline_of_two_feeds_counts_once_from_when_the_faster_told_it():
    found = union([news(("2026-01-05 11:00", "A")), news(("2026-01-05 10:00", "A"), ("2026-01-05 12:00", "B"))], "news")

    assert found["time"].dt.hour.tolist() == [10, 12]


def test_ticks_of_a_day_are_those_of_one_source():
    def ticks(*times: str) -> pd.DataFrame:
        stamps = pd.to_datetime(pd.Series(times)).dt.tz_localize("Asia/Kolkata").astype("datetime64[us, Asia/Kolkata]")
        return pd.DataFrame({"symbol": "TCS", "time": stamps, "price": 1.0, "quantity": 1.0, "volume": 1.0})

    found = union([ticks("2026-01-05 10:00:00"), ticks("2026-01-05 10:00:01", "2026-01-06 10:00:00")], "ticks")

    assert found["time"].dt.strftime("%d %S").tolist() == ["05 00", "06 00"]
