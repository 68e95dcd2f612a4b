"""A run on the lake: one market of many sources, as it was known at a time."""

import hashlib
from datetime import datetime

import pandas as pd
import pytest

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BadInput
from pipelines.ingest import stage
from pipelines.ingest.from_lake import read_lake
from pipelines.ingest.kinds import typed
from pipelines.ingest.lake import Lake
from pipelines.tables import read_json, read_table
from tests.conftest import workspace_at
from tests.unit.ingest.lake_builders import START, Clock, a_piece, actions, news, some_bars
from tests.unit.ingest.test_stage import hashes

PARAMS = {
    "ingest.source": "lake",
    "ingest.interval": "5min",
    "ingest.session_days": 0,
    "ingest.priority": ["kite", "bhavcopy"],
}


@pytest.fixture
def place(tmp_path):
    """Paths of a workspace, its lake and the lake's clock."""
    paths, _ = workspace_at(tmp_path / "run", PARAMS)
    clock = Clock()
    return paths, Lake(paths.lake, clock), clock


def params_with(paths, **changes):
    return workspace_at(paths.root, PARAMS | {f"ingest.{key}": value for key, value in changes.items()})[1]


def a_day(symbol: str = "SBIN", level: float = 100.0, minutes: int = 5, count: int = 75) -> pd.DataFrame:
    """Bars of one session from its open on."""
    bars = some_bars([(n, level + n * 0.1) for n in range(count)], symbol)
    opens = pd.Series(pd.date_range(START, periods=count, freq=f"{minutes}min")).astype(bars["open_time"].dtype)
    return bars.assign(open_time=opens, close_time=opens + pd.Timedelta(minutes=minutes))


def test_bars_of_all_sources_become_one_market(place):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day().drop(index=[3, 4])))
    lake.store("bhavcopy", a_piece(pd.concat([a_day(), a_day("TCS", 3000.0)], ignore_index=True), key="NSE@5min"))

    world = read_lake(params_with(paths).ingest, paths.lake)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"SBIN": 75, "TCS": 75}
    assert world.instruments["symbol"].tolist() == ["SBIN", "TCS"]
    assert "bhavcopy fills gaps, bars: SBIN 2" in world.left_out


def test_finer_bars_are_joined_and_coarser_ones_left_out(place):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day(minutes=1, count=375), key="SBIN@1min"))
    lake.store("bhavcopy", a_piece(a_day("TCS", count=1), key="TCS@day"))

    world = read_lake(params_with(paths).ingest, paths.lake)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"SBIN": 75}
    assert "bars that cannot become 5min are left out: TCS@day" in world.left_out
    assert "1 min bars joined to 5min: SBIN" in world.left_out


def test_a_share_of_whose_rows_no_bar_can_be_made_is_left_out_and_named(place):
    paths, lake, _ = place
    early = pd.Timedelta(minutes=330)
    shifted = a_day("TCS", minutes=1, count=375)
    shifted = shifted.assign(open_time=shifted["open_time"] - early, close_time=shifted["close_time"] - early)
    lake.store("kite", a_piece(shifted, key="TCS@1min"))

    with pytest.raises(BadInput, match="no bar can be made of their rows: TCS"):
        read_lake(params_with(paths).ingest, paths.lake)

    lake.store("kite", a_piece(a_day()))
    world = read_lake(params_with(paths).ingest, paths.lake)

    assert list(world.bars) == ["SBIN"]
    assert "left out, since no bar can be made of their rows: TCS" in world.left_out


def test_without_an_interval_the_coarsest_is_taken(place):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day(minutes=15, count=25), key="SBIN@15min"))
    lake.store("kite", a_piece(a_day("TCS", minutes=1, count=375), key="TCS@1min"))

    world = read_lake(params_with(paths, interval="auto").ingest, paths.lake)

    assert world.interval is Interval.MIN_15
    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"SBIN": 25, "TCS": 25}


def test_the_snapshot_names_the_sources_whose_bars_were_taken(place):
    paths, lake, _ = place
    for source in ("kite", "bhavcopy"):  # the second tells nothing that the first does not
        lake.store(source, a_piece(a_day()))
    lake.store("files:mine", a_piece(a_day("TCS")))
    lake.store("paper_exchange", a_piece(a_day("INFY")))

    stage.run(params_with(paths, priority=["kite", "bhavcopy"]), paths)
    of_all = read_json(paths.snapshot)["lake"]["bars_of"]
    stage.run(params_with(paths, symbols=["SBIN"], priority=["kite"]), paths)

    assert of_all == ["files:mine", "kite", "paper_exchange"]
    assert read_json(paths.snapshot)["lake"]["bars_of"] == ["kite"]


def test_news_actions_and_outcomes_of_the_instruments_come_along(place):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day("TCS")))
    lake.store("rss", a_piece(news(("2026-01-05 10:00", "A")), "news", "feed"))
    lake.store("rss", a_piece(news(("2026-01-05 10:00", "B"), symbol="INFY"), "news", "feed", "other"))
    lake.store("nse", a_piece(actions(("2026-03-02", 2.0, "2026-01-05")), "actions", "equity"))

    stage.run(params_with(paths), paths)

    assert read_table(paths.raw_news)["headline"].tolist() == ["A"]
    assert read_table(paths.raw_actions)["ratio"].tolist() == [2.0]
    assert len(read_table(paths.raw_outcomes)) == 0


def test_facts_of_a_dump_are_used_and_the_latest_counts(place):
    paths, lake, _ = place
    listed = {"symbol": "SBIN", "token": 779521, "kind": "stock", "tick_size": "0.05", "lot_size": 1, "sector": "Bank",
              "has_volume": True}  # fmt: skip
    lake.store("kite", a_piece(a_day()))
    lake.store("kite", a_piece(typed(pd.DataFrame([listed | {"token": 1}]), "instruments"), "instruments", "NSE"))
    lake.store("kite", a_piece(typed(pd.DataFrame([listed]), "instruments"), "instruments", "NSE"))

    world = read_lake(params_with(paths).ingest, paths.lake)

    assert world.instruments["token"].tolist() == [779521]
    assert world.instruments["sector"].tolist() == ["Bank"]


def day_of(symbol: str, day: str) -> pd.DataFrame:
    opened = pd.Timestamp(f"{day} 09:15", tz=IST)
    bars = a_day(symbol, count=1).assign(open_time=opened, close_time=opened + pd.Timedelta(hours=6, minutes=15))
    return typed(bars, "bars")


def renamed_company(lake: Lake, clock: Clock) -> datetime:
    """Infosys on the last day of its old symbol and the first of its new one; a time when only the old was known."""
    lake.store("bhavcopy", a_piece(day_of("INFOSYSTCH", "2011-06-28"), key="NSE@day", origin="first"))
    then = clock.wait(hours=1)
    lake.store("bhavcopy", a_piece(day_of("INFY", "2011-06-29"), key="NSE@day", origin="second"))
    return then


def test_a_renamed_company_is_one_series_and_its_old_actions_news_and_members_stay_its_own(place):
    paths, lake, clock = place
    renamed_company(lake, clock)
    lake.store("bhavcopy", a_piece(actions(("2011-06-29", 2.0, "2011-06-20"), symbol="INFOSYSTCH"), "actions", "NSE"))
    lake.store("rss", a_piece(news(("2011-06-28 10:00", "A"), symbol="INFOSYSTCH"), "news", "feed"))

    for asked in ([], ["INFY"], ["INFOSYSTCH"]):
        world = read_lake(params_with(paths, interval="day", symbols=asked).ingest, paths.lake)

        assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"INFY": 2}
        assert world.bars["INFY"]["symbol"].unique().tolist() == ["INFY"]
        assert world.actions[["symbol", "ratio"]].to_numpy().tolist() == [["INFY", 2.0]]
        assert world.news["symbol"].tolist() == ["INFY"]
        assert not any("fills gaps" in note or "without a bar" in note for note in world.left_out)


def test_before_it_is_renamed_a_company_bears_the_name_it_had(place):
    paths, lake, clock = place
    then = renamed_company(lake, clock)

    early = read_lake(params_with(paths, interval="day", as_of=then.strftime("%Y-%m-%d %H:%M:%S")).ingest, paths.lake)

    assert {symbol: len(bars) for symbol, bars in early.bars.items()} == {"INFOSYSTCH": 1}


def test_sources_that_know_a_company_by_different_symbols_tell_of_one_series(place):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day("ETERNAL").drop(index=[3]), key="ETERNAL@5min"))
    lake.store("bhavcopy", a_piece(a_day("ZOMATO"), key="ZOMATO@5min"))

    world = read_lake(params_with(paths).ingest, paths.lake)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"ETERNAL": 75}
    assert "bhavcopy fills gaps, bars: ETERNAL 1" in world.left_out


def test_sessions_without_a_bar_are_told(place):
    paths, lake, _ = place
    later = a_day().assign(open_time=lambda bars: bars["open_time"] + pd.Timedelta(days=2))
    later["close_time"] = later["open_time"] + pd.Timedelta(minutes=5)
    lake.store("kite", a_piece(pd.concat([a_day(), later], ignore_index=True)))

    world = read_lake(params_with(paths).ingest, paths.lake)

    assert "sessions without a bar between the first and the last: SBIN 1" in world.left_out


def test_an_old_pin_gives_the_same_bytes_though_the_lake_grew_and_was_corrected(place):
    paths, lake, clock = place
    lake.store("kite", a_piece(a_day()))
    lake.store("rss", a_piece(news(("2026-01-05 10:00", "A"), symbol="SBIN"), "news", "feed"))
    then = clock.wait(hours=1)
    pinned = params_with(paths, as_of=then.strftime("%Y-%m-%d %H:%M:%S"))
    stage.run(params_with(paths), paths)
    open_ended = hashes(paths.data / "01_raw")
    stage.run(pinned, paths)
    before = hashes(paths.data / "01_raw")
    clock.wait(hours=1)

    lake.store("kite", a_piece(a_day(level=200.0)))
    lake.store("kite", a_piece(a_day("TCS"), key="TCS@5min"))
    lake.store("bhavcopy", a_piece(a_day(level=90.0)))
    lake.store("rss", a_piece(news(("2026-01-05 09:30", "A"), symbol="SBIN"), "news", "feed"))
    lake.store("nse", a_piece(actions(("2026-01-05", 2.0, None), symbol="SBIN"), "actions", "equity"))
    stage.run(pinned, paths)
    again = hashes(paths.data / "01_raw")
    stage.run(params_with(paths), paths)

    assert open_ended == before == again
    assert hashes(paths.data / "01_raw") != before


def test_the_snapshot_names_what_was_known(place):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day()))

    stage.run(params_with(paths), paths)

    pinned = read_json(paths.snapshot)["lake"]
    manifest = (paths.lake / "manifest.jsonl").read_bytes()
    assert pinned["pieces"] == 1
    assert pinned["manifest"] == hashlib.sha256(manifest).hexdigest()
    assert datetime.fromisoformat(pinned["learnt_until"]) == lake.pin().learnt_until


def test_a_time_without_zone_is_read_as_ist(place):
    paths, _, _ = place

    assert params_with(paths, as_of="2026-06-01 18:00").ingest.as_of == datetime(2026, 6, 1, 18, 0, tzinfo=IST)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"symbols": ["SBIN", "INFY"]}, "ingest.symbols: INFY not found in the lake"),
        ({"interval": "1min"}, "ingest.interval = 1min: the lake has only bars of 5min"),
        ({"as_of": "2020-01-01 00:00"}, "nothing was known at 2020-01-01 00:00"),
    ],
)
def test_what_the_lake_does_not_have_is_named(place, changes, told):
    paths, lake, _ = place
    lake.store("kite", a_piece(a_day()))

    with pytest.raises(BadInput, match=told):
        read_lake(params_with(paths, **changes).ingest, paths.lake)


def test_a_lake_without_bars_is_refused(place):
    paths, lake, _ = place
    lake.store("rss", a_piece(news(("2026-01-05 10:00", "A")), "news", "feed"))

    with pytest.raises(BadInput, match="the lake knew no bars then"):
        read_lake(params_with(paths).ingest, paths.lake)
