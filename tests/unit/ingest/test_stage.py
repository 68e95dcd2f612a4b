"""Ingest: what is pinned, what is held back, and that a failure leaves no trace."""

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.market_calendar import bar_times, session_on, trading_days_before
from pipelines.ingest import stage
from pipelines.ingest.kinds import RAW_BAR_COLUMNS, empty, typed
from pipelines.ingest.world import World, empty_news, instruments_table
from pipelines.tables import read_json, read_table
from tests.conftest import workspace_at

TINY = {"ingest.simulated.days": 12, "ingest.simulated.instruments": 3, "ingest.session_days": 2}


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def a_world(*rows: tuple[str, float], symbol: str = "TCS", kind: str = "stock") -> World:
    """Daily bars of one stock, all prices of a day alike."""
    opens = pd.Series(pd.to_datetime([f"{day} 09:15" for day, _ in rows])).dt.tz_localize("Asia/Kolkata")
    frame = pd.DataFrame({"symbol": symbol, "open_time": opens.astype(TIME_DTYPE)})
    frame["close_time"] = (frame["open_time"] + pd.Timedelta("6h15min")).astype(TIME_DTYPE)
    for name in ("open", "high", "low", "close"):
        frame[name] = [float(close) for _, close in rows]
    frame["volume"] = 100
    frame["source"] = "tcs.csv"
    frame["source_row"] = range(2, 2 + len(rows))
    listed = {
        "symbol": symbol,
        "token": 257,
        "kind": kind,
        "tick_size": "0.05",
        "lot_size": 1,
        "sector": "",
        "has_volume": True,
    }
    return World({symbol: frame[list(RAW_BAR_COLUMNS)]}, instruments_table([listed]), empty_news(), Interval.DAY)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    paths, params = workspace_at(tmp_path_factory.mktemp("ingested"), TINY)
    report = stage.run(params, paths)
    return paths, params, report


def test_nothing_after_t_is_left_in_raw(ingested):
    paths, _, report = ingested
    as_of = pd.Timestamp(read_json(paths.snapshot)["as_of"])

    kept = [read_table(path) for path in sorted(paths.raw_bars.iterdir())]

    assert max(bars["close_time"].max() for bars in kept) == as_of
    assert read_table(paths.raw_news)["time"].max() <= as_of
    assert sum(len(bars) for bars in kept) == report.rows_out < report.rows_in


def test_held_back_days_are_the_last_sessions_whole(ingested):
    paths, params, _ = ingested
    as_of = pd.Timestamp(read_json(paths.snapshot)["as_of"])
    last = trading_days_before(params.ingest.simulated.end, 2)

    played = {path.stem: read_table(path) for path in paths.session_bars.iterdir()}

    expected = [times for session in last for times in bar_times(session, Interval.MIN_5)]
    assert len(played) == 3
    for bars in played.values():
        assert tuple(bars.columns) == BAR_COLUMNS
        assert list(zip(bars["open_time"], bars["close_time"], strict=True)) == expected
    assert (read_table(paths.session_news)["time"] > as_of).all()


def test_actions_announced_in_the_held_back_days_are_kept_for_them(tmp_path):
    numbers = {"ingest.interval": "day", "ingest.session_days": 20, "ingest.simulated.days": 70}
    paths, params = workspace_at(tmp_path, numbers | {"ingest.simulated.actions": 8})

    stage.run(params, paths)

    as_of = pd.Timestamp(read_json(paths.snapshot)["as_of"])
    raw, later = read_table(paths.raw_actions), read_table(paths.session_actions)
    assert (raw["known_at"] <= as_of).all()
    assert (later["known_at"] > as_of).all()
    assert (len(raw), len(raw) + len(later)) == (7, 8)


def test_snapshot_counts_what_was_written(ingested):
    paths, _, _ = ingested

    snapshot = read_json(paths.snapshot)

    assert snapshot["source"] == "simulated"
    assert snapshot["interval"] == "5min"
    assert snapshot["counts"]["instruments"] == len(read_table(paths.raw_instruments)) == 3
    assert snapshot["counts"]["bars"] == sum(len(read_table(path)) for path in paths.raw_bars.iterdir())
    assert snapshot["counts"]["news"] == len(read_table(paths.raw_news))
    assert [date.fromisoformat(day) for day in snapshot["session_days"]] == [
        session.day for session in trading_days_before(date(2026, 10, 30), 2)
    ]


def test_a_second_run_writes_the_same_bytes(ingested):
    paths, params, _ = ingested
    before = hashes(paths.data)

    stage.run(params, paths)

    assert hashes(paths.data) == before


def test_truth_lies_aside(ingested):
    paths, _, _ = ingested

    truth = read_table(paths.truth)

    assert list(truth.columns) == ["close_time", "regime", "symbol", "drift"]
    assert not list(paths.raw.rglob("truth*"))


def test_only_named_symbols_are_taken(tmp_path):
    paths, params = workspace_at(tmp_path, TINY | {"ingest.symbols": ["TCS"]})

    stage.run(params, paths)

    assert [path.stem for path in paths.raw_bars.iterdir()] == ["TCS"]
    assert set(read_table(paths.raw_news)["symbol"]) <= {"TCS"}


def test_an_unknown_symbol_is_named_with_those_known(tmp_path):
    paths, params = workspace_at(tmp_path, TINY | {"ingest.symbols": ["TCS", "TCSX"]})

    with pytest.raises(BadInput, match=r"TCSX not found; the source has HDFCBANK, RELIANCE, TCS"):
        stage.run(params, paths)

    assert not paths.data.exists()


def test_a_failure_while_writing_leaves_what_was_there(ingested, monkeypatch):
    paths, params, _ = ingested
    before = hashes(paths.data)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(stage, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        stage.run(params, paths)

    assert hashes(paths.data) == before
    assert sorted(path.name for path in paths.data.iterdir()) == ["00_world", "01_raw"]


def test_more_session_days_than_history_are_refused():
    world = a_world(("2023-06-01", 100.0), ("2023-06-02", 101.0))

    with pytest.raises(BadInput, match="session_days = 2 would leave no history"):
        stage.hold_back(world, 2)


def test_without_session_days_all_is_history():
    split = stage.hold_back(a_world(("2023-06-01", 100.0), ("2023-06-02", 101.0)), 0)

    assert split.session == {}
    assert split.session_days == ()
    assert len(split.raw["TCS"]) == 2


def test_a_source_without_trading_days_is_refused():
    with pytest.raises(BadInput, match="no bar on a trading day"):
        stage.hold_back(a_world(("2023-06-03", 100.0)), 0)


def test_a_day_off_is_no_session_and_is_not_played():
    world = a_world(("2023-06-02", 100.0), ("2023-06-04", 100.5), ("2023-06-05", 101.0))
    assert session_on(date(2023, 6, 4)) is None

    split = stage.hold_back(world, 1)

    assert split.as_of.date() == date(2023, 6, 2)
    assert len(split.raw["TCS"]) == 1
    assert split.session["TCS"]["close"].tolist() == [101.0]
    assert split.unplayable == 1


def test_days_of_an_index_alone_are_not_held_back():
    stock = a_world(("2023-06-01", 100.0), ("2023-06-02", 101.0))
    index = a_world(("2023-06-01", 9.0), ("2023-06-02", 9.0), ("2023-06-05", 9.0), symbol="NIFTY 50", kind="index")
    both = pd.concat([stock.instruments, index.instruments], ignore_index=True)

    split = stage.hold_back(World(stock.bars | index.bars, both, empty_news(), Interval.DAY), 1)

    assert split.session_days == (date(2023, 6, 2),)
    assert {symbol: len(bars) for symbol, bars in split.session.items()} == {"TCS": 1, "NIFTY 50": 1}


def test_rows_without_a_time_stay_for_validation():
    world = a_world(("2023-06-01", 100.0), ("2023-06-02", 101.0), ("2023-06-05", 102.0))
    world.bars["TCS"].loc[0, ["open_time", "close_time"]] = pd.NaT

    split = stage.hold_back(world, 1)

    assert split.raw["TCS"]["source_row"].tolist() == [2, 3]


def test_later_rows_that_cannot_be_played_are_left_out_and_counted():
    world = a_world(("2023-06-01", 100.0), ("2023-06-02", 101.0), ("2023-06-02", 101.0), ("2023-06-05", -3.0))

    split = stage.hold_back(world, 2)

    assert split.session["TCS"]["close"].tolist() == [101.0]
    assert split.unplayable == 2


@pytest.mark.parametrize(
    ("asked", "interval", "held_back"),
    [("auto", Interval.MIN_5, 1), ("auto", Interval.DAY, 20), (3, Interval.DAY, 3), (0, Interval.MIN_5, 0)],
)
def test_a_session_is_a_day_of_intraday_bars_and_a_month_of_daily_ones(asked, interval, held_back):
    assert stage.days_to_play(asked, interval) == held_back


def test_tables_that_the_source_does_not_have_are_there_and_empty(ingested):
    paths, _, _ = ingested

    for kind, path in (
        ("actions", paths.raw_actions),
        ("membership", paths.raw_membership),
        ("outcomes", paths.raw_outcomes),
        ("disagreements", paths.disagreements),
    ):
        pd.testing.assert_frame_equal(read_table(path), empty(kind))
    assert not paths.raw_ticks.exists()


def test_every_table_is_cut_at_t(tmp_path, monkeypatch):
    world = a_world(("2023-06-01", 100.0), ("2023-06-02", 101.0), ("2023-06-05", 102.0))
    before, after = (pd.Timestamp(day, tz="Asia/Kolkata") for day in ("2023-06-02 10:00", "2023-06-05 10:00"))
    action = {"symbol": "TCS", "ex_date": after, "kind": "bonus", "ratio": 2.0, "amount_inr": 0.0, "source": "a list"}
    actions = [action | {"known_at": before}, action | {"known_at": after}, action | {"known_at": pd.NaT}]
    ticks = {"symbol": "TCS", "price": 100.0, "quantity": 1.0, "volume": 1.0}
    world = replace(
        world,
        actions=typed(pd.DataFrame(actions).astype({"known_at": TIME_DTYPE}), "actions"),
        ticks={"TCS": typed(pd.DataFrame([ticks | {"time": before}, ticks | {"time": after}]), "ticks")},
    )
    monkeypatch.setattr(stage, "read_world", lambda *_: world)
    paths, params = workspace_at(tmp_path, {"ingest.session_days": 1})

    stage.run(params, paths)

    assert read_table(paths.raw_actions)["known_at"].tolist() == [before]
    assert read_table(paths.raw_ticks / "TCS.parquet")["time"].tolist() == [before]
