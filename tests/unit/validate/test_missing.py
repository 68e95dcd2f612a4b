"""A minute without a row: did nobody trade, or did nobody record?"""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.market_calendar import bar_times, sessions_between
from pipelines.validate.missing import COUNT_COLUMNS, count_absent
from tests.conftest import SHARED_DATA

real = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
FIRST, LAST = date(2024, 1, 2), date(2024, 1, 31)  # 21 sessions


def minutes(share: float = 1.0, seed: int = 0, volume: int = 10) -> pd.DataFrame:
    """Minute rows of a month of which a share traded."""
    times = [opened for s in sessions_between(FIRST, LAST) for opened, _ in bar_times(s, Interval.MIN_1)]
    frame = pd.DataFrame({"open_time": pd.DatetimeIndex(times).as_unit("us"), "volume": volume})
    return frame[np.random.default_rng(seed).random(len(frame)) < share].reset_index(drop=True)


def without(frame: pd.DataFrame, day: str, first: str, last: str) -> pd.DataFrame:
    moments = frame["open_time"]
    zone = moments.dt.tz
    gone = (moments >= pd.Timestamp(f"{day} {first}", tz=zone)) & (moments < pd.Timestamp(f"{day} {last}", tz=zone))
    return frame[~gone]


def counted(bars, indices=frozenset()) -> pd.DataFrame:
    table = count_absent(bars, Interval.MIN_1, indices)
    assert tuple(table.columns) == COUNT_COLUMNS
    assert (table["expected"] == table[["held", "still", "missing"]].sum(axis=1)).all()
    return table.set_index(["symbol", table["day"].dt.strftime("%Y-%m-%d")])


def test_a_full_month_lacks_nothing():
    table = counted({"ABC": minutes()})

    assert len(table) == 21
    assert (table["held"] == 375).all()


def test_an_instrument_that_seldom_trades_is_still_and_one_that_always_does_is_missing():
    bars = {"LIVELY": without(minutes(), "2024-01-16", "11:00", "11:20"), "SELDOM": minutes(0.4)}

    table = counted(bars)

    assert table.loc[("LIVELY", "2024-01-16"), ["still", "missing"]].tolist() == [0, 20]
    assert table.loc["SELDOM", "missing"].sum() == 0
    assert table.loc["SELDOM", "still"].sum() > 4000


def test_where_all_stop_together_the_recorder_stopped_even_for_those_that_seldom_trade():
    bars = {f"S{n}": minutes(0.7, seed=n) for n in range(8)}
    bars = {symbol: without(frame, "2024-01-16", "11:00", "12:00") for symbol, frame in bars.items()}

    table = counted(bars)

    stopped = table[table.index.get_level_values(1) == "2024-01-16"]
    assert (stopped["missing"] >= 60).all()
    assert (stopped["still"] < 140).all()
    others = table.drop(index=stopped.index)
    assert others["missing"].sum() < 0.05 * others["still"].sum()


def test_a_source_that_tells_of_still_minutes_has_no_others():
    frame = minutes(0.4)
    frame.loc[5, "volume"] = 0

    table = counted({"TELLS": frame})

    assert table["still"].sum() == 0
    assert table["missing"].sum() > 4000


def test_an_index_has_a_level_in_every_minute():
    assert counted({"NIFTY 50": minutes(0.4, volume=0)}, {"NIFTY 50"})["still"].sum() == 0


def test_a_session_without_any_bar_is_missing_wholly():
    table = counted({"SELDOM": without(minutes(0.4), "2024-01-16", "00:00", "23:00")})

    assert table.loc[("SELDOM", "2024-01-16"), ["held", "missing"]].tolist() == [0, 375]


@pytest.mark.parametrize("cut", [3, 10, 20])
def test_what_is_said_of_a_session_does_not_change_with_later_ones(cut):
    bars = {f"S{n}": minutes(share, seed=n) for n, share in enumerate((1.0, 0.96, 0.94, 0.5))}
    end = pd.Timestamp(sessions_between(FIRST, LAST)[cut].day, tz="Asia/Kolkata")

    whole = count_absent(bars, Interval.MIN_1, frozenset())
    early = count_absent({s: f[f["open_time"] < end] for s, f in bars.items()}, Interval.MIN_1, frozenset())

    expected = whole[whole["day"] < end].reset_index(drop=True)
    pd.testing.assert_frame_equal(early, expected, check_exact=True)


@real
def test_the_recorder_of_2021_stopped_and_its_stocks_did_not():
    table = pd.read_parquet(SHARED_DATA / "ticks" / "bars_1min_from_ticks_2021.parquet")
    bars = {str(name): own.rename(columns={"timestamp": "open_time"}) for name, own in table.groupby("symbol")}

    found = counted(bars, {"NIFTY50", "BANKNIFTY"})

    of_day = found[found.index.get_level_values(1) == "2021-04-07"]
    assert len(of_day) == 14  # the other eight are recorded from May on
    assert of_day["held"].isin([78, 79]).all()
    assert (of_day["missing"] == 375 - of_day["held"]).all()
    assert found["still"].sum() == 0  # twenty large stocks and two indices trade in every minute


@real
def test_the_bank_index_has_a_gap_where_its_sister_has_none():
    folder = SHARED_DATA / "intraday" / "5min"
    bars = {}
    for name in ("NIFTY50", "BANKNIFTY"):
        frame = pd.read_parquet(folder / f"{name}.parquet")
        stamps = pd.to_datetime(frame.iloc[:, 0])
        bars[name] = pd.DataFrame({"open_time": stamps.dt.tz_convert("Asia/Kolkata").dt.as_unit("us"), "volume": 0})

    table = count_absent(bars, Interval.MIN_5, {"NIFTY50", "BANKNIFTY"})

    lacking = table[table["missing"] > 0]
    found = zip(lacking["symbol"], lacking["day"].dt.strftime("%Y-%m-%d"), lacking["missing"], strict=True)
    assert list(found) == [
        ("BANKNIFTY", "2021-02-24", 18),  # the outage took the indices' feed down before the market
        ("BANKNIFTY", "2022-03-07", 9),
        ("NIFTY50", "2021-02-24", 18),
    ]
