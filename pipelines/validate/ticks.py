"""Ticks judged as they arrived: a recorder repeats itself, goes on after hours and runs into the next day."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.data_rules import Severity
from pipelines.domain.session_grid import shifted, slots
from pipelines.validate.in_time import Flags, Floats, InTime
from pipelines.validate.neighbours import deviations
from pipelines.validate.release import Released
from pipelines.validate.sieve import Kept, Sifted, sift

TICKS = Kept("ticks", "time", ("symbol", "time", "price", "quantity", "volume"))
FIRST_SESSION = date(
    1994, 11, 3
)  #: of NSE's equity segment, https://www.nseindia.com/national-stock-exchange/history-milestones
STUB = 0.05  #: of the ticks of the instrument's day before; a day with fewer was not recorded


def sift_ticks(ticks: pd.DataFrame, chosen: Mapping[str, Severity], released: Released) -> Sifted:
    """Judge ticks of any instruments, TICK_COLUMNS, of each in the order they arrived in.

    What is sound of them comes in order of instrument and time.
    """
    from expectations import ticks as suites

    sifted = sift(tick_facts(ticks), suites.suite(chosen), TICKS, released, own=list(ticks))
    return replace(sifted, sound=sifted.sound.sort_values(["symbol", "time"], kind="stable"))


def tick_facts(ticks: pd.DataFrame) -> pd.DataFrame:
    """Ticks with what the suite speaks of.

    Returns
    -------
    DataFrame with these columns more, indexed from 0: `copies_before` (identical ticks above), `at_stamp` (different
    ticks of one stamp), `in_exchange_life`, `on_session`, `in_hours` (the session's last moment included), `unshifted`,
    `in_whole_day`, `total_back` (shares by which the day's running total is below that of the tick above; not above
    zero where it is not), `deviation` (of the price from those before in time, as a share).
    """
    facts = ticks.reset_index(drop=True)
    times = facts["time"]
    copies = facts.groupby(["symbol", "time", "price", "volume"], dropna=False).cumcount()
    firsts = (copies == 0).groupby([facts["symbol"], times], dropna=False).transform("sum")
    born = pd.Timestamp(FIRST_SESSION, tz="Asia/Kolkata")
    alive = (times.isna() | (times >= born)).to_numpy()
    return facts.assign(
        copies_before=copies,
        at_stamp=firsts,
        in_exchange_life=alive,
        **_place(times, alive, facts["symbol"]),
        in_whole_day=_whole_days(facts),
        total_back=_total_back(facts),
        deviation=deviations(facts, InTime.of(facts, "time"), prices=("price",), close="price"),
    )


def _place(times: pd.Series, alive: Flags, symbols: pd.Series) -> dict[str, Flags]:
    """A tick of the session's last moment is in it; one that is judged for its day is not for its hour, too."""
    code, known = pd.factorize(times)
    moments = pd.Series(known)
    place = slots(moments, Interval.MIN_1)
    just_before = slots(moments - pd.Timedelta(microseconds=1), Interval.MIN_1)
    inside = place["inside"] | just_before["inside"] | ~place["trades"]
    found = {"on_session": place["trades"], "in_hours": inside}
    flags = {name: np.append(known.to_numpy(dtype=bool), True)[code] | ~alive for name, known in found.items()}
    off = shifted(times, symbols.to_numpy(), ~flags["in_hours"])
    return flags | {"unshifted": ~off | ~flags["in_hours"]}


def _whole_days(ticks: pd.DataFrame) -> Flags:
    """Whether a tick's day holds enough of the instrument's ticks; its first day always does."""
    day = ticks["time"].dt.normalize()
    counts = ticks.groupby(["symbol", day])["price"].transform("size")
    daily = ticks.groupby(["symbol", day]).size()
    before = daily.groupby(level=0).shift()
    key = pd.MultiIndex.from_arrays([ticks["symbol"], day])
    return ~(counts < STUB * before.reindex(key).to_numpy()).to_numpy(dtype=bool)


def _total_back(ticks: pd.DataFrame) -> Floats:
    """By how much the total lies below that of the row above, of the same instrument and day."""
    day = ticks["time"].dt.normalize()
    return -ticks.groupby(["symbol", day])["volume"].diff().to_numpy(np.float64)
