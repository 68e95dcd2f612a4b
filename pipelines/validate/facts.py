"""What judging needs to know of a row besides its own values: its neighbours, its session, its place."""

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.domain.bars import PRICE_COLUMNS, Interval
from pipelines.domain.corporate_actions import adjusted
from pipelines.domain.instruments import Kind
from pipelines.domain.listings import life_of
from pipelines.domain.session_grid import shifted, slots
from pipelines.domain.tick_sizes import tick_sizes
from pipelines.validate.in_time import Flags, Floats, InTime, Ints
from pipelines.validate.neighbours import deviations, jumps, overnight_gaps, repeats, stands, volume_surprise

BAND_SLACK = 0.8  #: of a price, for which a tick is looked up: shares rarely lose more in a month
ON_TICK = 1e-3  #: ticks by which a price may be off for rounding


def with_facts(bars: pd.DataFrame, interval: Interval, instruments: pd.DataFrame) -> pd.DataFrame:
    """Bars with what firm rules speak of.

    Parameters
    ----------
    bars : DataFrame of raw or validated bars of any instruments, of each in the source's order; steps between them are
        measured on adjusted prices
    interval : Interval
    instruments : INSTRUMENT_COLUMNS. Levels of indices may jump: they have no corporate actions, some of them no
        ceiling, and their points no tick. What is not in it counts as a stock without a tick.

    Returns
    -------
    DataFrame with these columns more, indexed from 0: `copies_before` (identical rows above), `rows_at_time` (different
    rows of one time), `in_order`, `on_session`, `in_hours`, `unshifted` (see `session_grid.shifted`), `on_grid`,
    `listed`, `highest_price`, `deviation` (of the four prices from the closes before, as a share; 0 for indices),
    `overnight_gap` (open against the close of the day before, as a share; NaN within a day and for indices).
    """
    facts = bars.reset_index(drop=True)
    rows = InTime.of(facts)
    stocks = rows.each(instruments, "kind") != Kind.INDEX.value
    comparable = adjusted(facts)
    copies, at_time = _repeated(facts, rows)
    return facts.assign(
        copies_before=copies,
        rows_at_time=at_time,
        in_order=np.ones(len(facts), dtype=bool) if rows.as_it_stands else in_order(facts),
        **_place(facts["open_time"], interval, rows.numbers),
        listed=_listed(facts["open_time"], rows),
        highest_price=np.fmax.reduce([facts[name].to_numpy(np.float64) for name in PRICE_COLUMNS]),
        deviation=np.where(stocks, deviations(comparable, rows, daily=not interval.intraday), 0.0),
        overnight_gap=np.where(stocks, overnight_gaps(comparable, rows), np.nan),
    )


def with_doubts(
    facts: pd.DataFrame, instruments: pd.DataFrame, disagreements: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Bars with what is odd about them, which no rule holds against validated bars again.

    Parameters
    ----------
    facts, instruments : as for `with_facts`, indexed from 0
    disagreements : DataFrame of `disagreements.parquet`, optional

    Returns
    -------
    DataFrame with these columns more: `on_tick`, `jump_z`, `volume_z` (robust deviations from what is usual),
    `repeats` (equal bars just above), `stands` (share by which the market moved while the price stood),
    `disagreement` (share by which another source's price differs).
    """
    rows = InTime.of(facts)
    stocks = rows.each(instruments, "kind") != Kind.INDEX.value
    comparable = adjusted(facts)
    return facts.assign(
        on_tick=_on_tick(facts, rows.each(instruments, "tick_size")) | ~stocks,
        jump_z=np.where(stocks, jumps(comparable, rows), np.nan),
        volume_z=volume_surprise(comparable, rows),
        repeats=repeats(facts, rows),
        stands=stands(comparable, rows, stocks),
        disagreement=_disagreement(facts, disagreements),
    )


def _repeated(bars: pd.DataFrame, rows: InTime) -> tuple[Ints, Ints]:
    """Of each row, how many identical ones stand above it, and how many different ones bear its time."""
    copies, at_time = np.zeros(len(bars), np.int64), np.ones(len(bars), np.int64)
    same = (np.diff(rows.moment) == 0) & (np.diff(rows.instrument) == 0)
    if not same.any():
        return copies, at_time
    among = np.sort(rows.order[np.append(same, False) | np.insert(same, 0, False)])
    twins = bars.iloc[among]
    time = ["symbol", "open_time"]
    copies[among] = twins.groupby([*time, *PRICE_COLUMNS, "volume"], dropna=False).cumcount().to_numpy()
    firsts = pd.Series(copies[among] == 0, index=twins.index)
    at_time[among] = firsts.groupby([twins[name] for name in time], dropna=False).transform("sum").to_numpy()
    return copies, at_time


def in_order(bars: pd.DataFrame) -> Flags:
    """Whether no older row of its instrument stands below a row.

    The row that is ahead of its time is blamed, never the older one: so what is thought of a row depends on rows of
    its own time and before, and stays when later bars arrive.
    """
    found = np.ones(len(bars), dtype=bool)
    moment = bars["open_time"].astype("int64").where(bars["open_time"].notna())
    for own in bars.groupby("symbol", sort=False).indices.values():
        stamps = moment.iloc[own]
        if not stamps.is_monotonic_increasing:
            found[own] = ~(stamps > stamps[::-1].cummin()[::-1]).to_numpy()
    return found


def _place(times: pd.Series, interval: Interval, owners: Ints) -> dict[str, Flags]:
    code, known = pd.factorize(times)  # the same moments come back with every instrument
    unique = pd.Series(known)
    place = slots(unique, interval)
    # a row is judged once: what is not on a session's day is not also outside its hours
    found = {
        "on_session": place["trades"],
        "in_hours": place["inside"] | ~place["trades"],
        "on_grid": (place["open_time"] == unique) | ~place["inside"] | ~place["trades"],
    }
    flags = {name: np.append(known.to_numpy(dtype=bool), True)[code] for name, known in found.items()}
    off = shifted(times, owners, ~flags["in_hours"])
    return flags | {"unshifted": ~off | ~flags["in_hours"]}


def _on_tick(bars: pd.DataFrame, own_ticks: npt.NDArray[np.object_]) -> Flags:
    """Whether all prices are whole ticks, of the instrument or of those in force that day.

    NSE sets a share's band at the end of a month: a price a little above a limit may still have the finer tick. True
    where no tick is known or a price is missing.
    """
    ticks, days = own_ticks.astype(np.float64), _days(bars["open_time"])
    found = np.ones(len(bars), dtype=bool)
    for name in PRICE_COLUMNS:
        prices = bars[name].to_numpy(np.float64)
        off = np.flatnonzero(_off(prices, ticks))
        finest = tick_sizes(prices[off] * BAND_SLACK, days[off])
        found[off[_off(prices[off], finest)]] = False
    return found


def _off(prices: Floats, ticks: Floats) -> Flags:
    with np.errstate(invalid="ignore"):
        counts = prices / ticks
        return np.abs(counts - np.round(counts)) > ON_TICK


def _listed(times: pd.Series, rows: InTime) -> Flags:
    """Whether each row lies in its instrument's life on the exchange, as far as that is known."""
    lives = [life_of(str(symbol)) for symbol in rows.symbols]
    first = np.array([life.first or date.min for life in lives], dtype="datetime64[D]")[rows.numbers]
    last = np.array([life.last or date.max for life in lives], dtype="datetime64[D]")[rows.numbers]
    day = _days(times)
    return ~((day < first) | (day > last))


def _days(times: pd.Series) -> npt.NDArray[np.datetime64]:
    return times.dt.tz_localize(None).to_numpy().astype("datetime64[D]")


def _disagreement(bars: pd.DataFrame, found: pd.DataFrame | None) -> Floats:
    """The largest share by which another source's price differs from a row's own; 0 where none does."""
    shares = np.zeros(len(bars))
    prices = None if found is None else found[found["field"].isin(PRICE_COLUMNS)]
    if prices is None or not len(prices):
        return shares
    share = (prices["value"] / prices["other_value"] - 1).abs()
    largest = share.groupby([prices["symbol"], prices["open_time"]]).max()
    key = pd.MultiIndex.from_frame(bars[["symbol", "open_time"]])
    return largest.reindex(key).fillna(0.0).to_numpy(np.float64)
