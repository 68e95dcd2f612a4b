"""Joined bars: the laws of open, high, low, close and volume; never over a break; never told before they are over."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.bars import PRICE_COLUMNS, TIME_DTYPE, Interval
from pipelines.domain.market_calendar import bar_times, session_on
from pipelines.ingest.resample import resample

REGULAR, OUTAGE, MUHURAT = date(2024, 1, 2), date(2021, 2, 24), date(2022, 10, 24)
AUCTION, SATURDAY = date(2026, 8, 4), date(2024, 3, 2)
DAYS = (REGULAR, OUTAGE, MUHURAT, SATURDAY, AUCTION)
COARSE = (Interval.MIN_5, Interval.MIN_15, Interval.MIN_60, Interval.MIN_240, Interval.DAY)
VALUES = [*PRICE_COLUMNS, "volume"]


def minutes_of(*days: date, seed: int = 0, missing: float = 0.0, until_end: bool = False) -> pd.DataFrame:
    """Minute rows of sessions, a share of them never traded; `until_end`: as stocks without a closing auction trade."""
    random = np.random.default_rng(seed)
    opens = [opened for day in days for opened, _ in bar_times(session_on(day), Interval.MIN_1)]
    if until_end:
        for session in map(session_on, days):
            extra = int((session.end - session.close).total_seconds() // 60)
            opens += [session.close + timedelta(minutes=n) for n in range(extra)]
    opens = [opened for opened in sorted(opens) if random.random() >= missing] or opens[:1]
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, len(opens))))
    open_ = np.r_[100.0, close[:-1]]
    frame = pd.DataFrame({"open_time": opens, "open": open_, "close": close})
    frame["high"] = frame[["open", "close"]].max(axis=1) + random.random(len(opens))
    frame["low"] = frame[["open", "close"]].min(axis=1) - random.random(len(opens))
    frame["volume"] = random.integers(0, 1000, len(opens))
    frame["source"], frame["source_row"] = "a.csv", range(2, len(opens) + 2)
    return frame.astype({"open_time": TIME_DTYPE})


def clocks(bars: pd.DataFrame) -> list[str]:
    return [f"{a:%H:%M}-{b:%H:%M}" for a, b in zip(bars["open_time"], bars["close_time"], strict=True)]


@pytest.mark.parametrize(
    ("day", "interval", "bars"),
    [
        (REGULAR, Interval.MIN_240, ["09:15-13:15", "13:15-15:30"]),
        (REGULAR, Interval.DAY, ["09:15-15:30"]),
        (OUTAGE, Interval.MIN_240, ["09:15-11:40", "15:45-17:00"]),
        (MUHURAT, Interval.MIN_60, ["18:15-19:15"]),
        (SATURDAY, Interval.MIN_60, ["09:15-10:00", "11:30-12:30"]),
        (AUCTION, Interval.MIN_240, ["09:15-13:15", "13:15-15:15"]),
        (AUCTION, Interval.DAY, ["09:15-15:15"]),
    ],
)
def test_bars_keep_to_their_session(day, interval, bars):
    assert clocks(resample(minutes_of(day), interval).bars) == bars


@pytest.mark.parametrize(
    ("interval", "bars"),
    [
        (Interval.MIN_60, ["14:15-15:15", "15:15-15:30"]),
        (Interval.MIN_240, ["13:15-15:15", "15:15-15:30"]),
        (Interval.DAY, ["09:15-15:30"]),
    ],
)
def test_minutes_after_the_auction_stocks_have_closed_stand_apart_and_are_not_told_early(interval, bars):
    assert clocks(resample(minutes_of(AUCTION, until_end=True), interval).bars)[-2:] == bars


def test_a_row_of_the_closing_auction_is_in_no_bar():
    rows = minutes_of(AUCTION)
    auction = rows.tail(1).assign(open_time=rows["open_time"].iloc[-1].replace(hour=15, minute=31))

    found = resample(pd.concat([rows, auction], ignore_index=True), Interval.DAY)

    assert found.outside == 1
    assert found.bars["close"].tolist() == [rows["close"].iloc[-1]]


@settings(max_examples=25, deadline=None)
@given(
    days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True).map(sorted),
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    step=st.sampled_from([(Interval.MIN_5, Interval.MIN_15), (Interval.MIN_15, Interval.MIN_60),
                          (Interval.MIN_60, Interval.MIN_240), (Interval.MIN_5, Interval.DAY),
                          (Interval.MIN_240, Interval.DAY)]),
)  # fmt: skip
def test_joining_in_steps_is_joining_at_once(days, seed, missing, step):
    rows, (finer, coarser) = minutes_of(*days, seed=seed, missing=missing), step

    at_once = resample(rows, coarser).bars
    in_steps = resample(resample(rows, finer).bars, coarser).bars

    pd.testing.assert_frame_equal(in_steps, at_once, check_exact=True)


@settings(max_examples=25, deadline=None)
@given(
    days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True).map(sorted),
    seed=st.integers(0, 1000),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    interval=st.sampled_from(COARSE),
)
def test_bars_obey_the_laws_of_their_rows(days, seed, missing, interval):
    rows = minutes_of(*days, seed=seed, missing=missing, until_end=True)

    bars = resample(rows, interval).bars

    assert bars["volume"].sum() == rows["volume"].sum()
    assert (bars["open_time"].dt.date == bars["close_time"].dt.date).all()
    assert (bars["open_time"].iloc[1:].to_numpy() >= bars["close_time"].iloc[:-1].to_numpy()).all()
    for bar in bars.itertuples():
        own = rows[(rows["open_time"] >= bar.open_time) & (rows["open_time"] < bar.close_time)]
        assert (bar.open, bar.close) == (own["open"].iloc[0], own["close"].iloc[-1])
        assert (bar.high, bar.low) == (own["high"].max(), own["low"].min())
        assert bar.volume == own["volume"].sum()


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(1, 374), interval=st.sampled_from(COARSE), missing=st.sampled_from([0.0, 0.3]))
def test_a_bar_that_is_not_over_is_not_written(cut, interval, missing):
    rows = minutes_of(REGULAR, missing=missing)
    until = session_on(REGULAR).open + timedelta(minutes=cut)
    known = rows[rows["open_time"] < until]

    whole, early = resample(rows, interval), resample(known, interval, pd.Timestamp(until))

    over = whole.bars[whole.bars["close_time"] <= until].reset_index(drop=True)
    pd.testing.assert_frame_equal(early.bars, over, check_exact=True)
    assert early.unfinished + early.bars["volume"].count() >= (1 if len(known) else 0)
    assert early.unfinished == int((known["open_time"] >= over["close_time"].max()).sum() if len(over) else len(known))
