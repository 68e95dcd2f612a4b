"""Triple-barrier labels: what would have become of a trade decided at each bar's close.

The rules are those of the backtest's engine: entry at the next bar's open, the stop before the target inside a bar, the
time barrier and the square-off at an open, slippage on every order, delivery left at the close before an announced
ex-date and not entered towards one, a split or bonus that came unannounced neither a gain nor a loss. A row whose trade
is not over when the bars end has no label: that is what keeps the future out of a training slice.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.charges import rates_on, round_trip_rate
from pipelines.domain.compiled import kept
from pipelines.domain.corporate_actions import adjustments
from pipelines.domain.orders import Product
from pipelines.params import LabelParams
from pipelines.policy.overnight import ex_date_rows
from pipelines.policy.panel import Panel

ATR = "atr_pct_14"  #: the feature all distances are measured in: average true range over close
SIDES = (("long", 1), ("short", -1))
STOPPED, TARGETED, TIMED, SQUARED, EX_DATED = 1, 2, 3, 4, 5  #: how a labelled trade ended; 0 is not at all


@dataclass(frozen=True, slots=True)
class Costs:
    """What a trade is assumed to cost where no order exists yet."""

    slippage_bps: float
    position_inr: float  #: typical position: the brokerage cap makes charges depend on it


def hold_limit(label: LabelParams, interval: Interval) -> int:
    """The time barrier, in bars after entry."""
    return label.hold_bars if interval.intraday else label.hold_days


def squared_off(panel: Panel, minutes: int) -> np.ndarray:
    """Whether a row's bar opens so near the session's end that intraday positions are closed at its open.

    A session's last bar always counts, however long it is; daily bars never do.
    """
    if not panel.interval.intraday:
        return np.zeros(len(panel.table), dtype=bool)
    table = panel.table
    late = table["open_time"] >= table["session_end"] - pd.Timedelta(minutes=minutes)
    return (late | (table["close_time"] >= table["session_end"])).to_numpy()


def session_days(panel: Panel) -> np.ndarray:
    """Day number of each row (days since 1970, Indian time), int64."""
    naive = panel.table["close_time"].dt.tz_localize(None).to_numpy()
    return naive.astype("datetime64[D]").astype(np.int64)


def barrier_labels(panel: Panel, label: LabelParams, costs: Costs) -> pd.DataFrame:
    """Outcome of a long and a short trade decided at each row's close.

    Parameters
    ----------
    panel : Panel
        Must carry the feature `atr_pct_14`.
    label : LabelParams
        Distances in ATR, time barrier in bars, minutes before the end at which intraday positions are closed.
    costs : Costs
        Slippage on entry and exit; charges are taken at the day's rates for a position of this size.

    Returns
    -------
    DataFrame, rows as `panel.table`; for `long` and `short` each
        `_gross`: return per rupee after slippage, before charges; `_net`: after charges; `_how`: 1 stop, 2 target,
        3 time, 4 square-off, 5 before an ex-date, 0 none; `_end`: close time of the bar that decided it; `_end_row`:
        that bar's row, -1 if none. NaN and NaT where there was no trade to enter (last bars of a session, an ex-date
        ahead, no ATR) or where the bars end before the trade does.
    """
    table = panel.table
    days, squared = session_days(panel), squared_off(panel, label.square_off_minutes)
    ex_dates = ex_date_rows(panel)
    factors = adjustments(table)
    numbers = {name: table[name].to_numpy(np.float64) * factors for name in ("open", "high", "low", "close")}
    atr = table[ATR].to_numpy(np.float64) if ATR in table else np.full(len(table), np.nan)
    rates = charge_rates(days, panel.product, costs.position_inr)
    closes = table["close_time"].to_numpy()
    columns: dict[str, np.ndarray | pd.Series] = {}
    for name, side in SIDES:
        gross = np.full(len(table), np.nan)
        how, end = np.zeros(len(table), np.int8), np.full(len(table), -1, np.int64)
        for rows in panel.symbol_slices.values():
            inputs = [numbers[column][rows] for column in ("open", "high", "low", "close")]
            found = _run_barriers(  # type: ignore[call-arg]
                *inputs,
                atr[rows],
                days[rows],
                squared[rows],
                ex_dates.left[rows],
                ex_dates.refused[rows],
                panel.interval.intraday,
                side,
                label.stop_atr,
                label.target_atr,
                hold_limit(label, panel.interval),
                costs.slippage_bps / 1e4,
            )
            gross[rows], how[rows] = found[0], found[1]
            end[rows] = np.where(found[2] >= 0, found[2] + rows.start, -1)
        columns[f"{name}_gross"] = gross
        columns[f"{name}_net"] = gross - rates
        columns[f"{name}_how"] = how
        ends = pd.Series(closes[np.maximum(end, 0)]).where(end >= 0)
        columns[f"{name}_end"] = ends.astype(TIME_DTYPE)
        columns[f"{name}_end_row"] = end
    return pd.DataFrame(columns, index=table.index)


def charge_rates(days: np.ndarray, product: Product, position_inr: float) -> np.ndarray:
    """Round-trip charges per rupee at each day's rates, for a position of `position_inr` rupees."""
    unique, inverse = np.unique(days, return_inverse=True)
    by_rates: dict[date, float] = {}
    values = np.empty(len(unique))
    for i, number in enumerate(unique):
        day = date(1970, 1, 1).fromordinal(date(1970, 1, 1).toordinal() + int(number))
        key = rates_on(product, day).effective_from
        if key not in by_rates:
            by_rates[key] = round_trip_rate(product, position_inr, day)
        values[i] = by_rates[key]
    return values[inverse]


@kept()
def _clip(price: float, low: float, high: float) -> float:
    return min(max(price, low), high)


@kept()
def _run_barriers(
    opens, highs, lows, closes, atr, days, squared, left, refused, intraday, side, stop_atr, target_atr, hold, slip
):  # pragma: no cover - compiled
    n = len(opens)
    gross = np.full(n, np.nan)
    how = np.zeros(n, np.int8)
    end = np.full(n, -1, np.int64)
    for t in range(n - 1):
        e = t + 1
        if not atr[t] > 0.0:
            continue
        if (intraday and (days[e] != days[t] or squared[e])) or refused[e]:
            continue
        distance = closes[t] * atr[t]
        stop = closes[t] - side * stop_atr * distance
        target = closes[t] + side * target_atr * distance
        entry = _clip(opens[e] * (1 + side * slip), lows[e], highs[e])
        exit_price, reason, k = 0.0, 0, e
        while k < n:
            if intraday and days[k] != days[e]:  # the instrument's bars ended before the square-off
                exit_price, reason = _clip(closes[k - 1] * (1 - side * slip), lows[k - 1], highs[k - 1]), 4
                break
            if k > e and ((intraday and squared[k]) or k - e >= hold):
                reason = 4 if intraday and squared[k] else 3
                exit_price = _clip(opens[k] * (1 - side * slip), lows[k], highs[k])
                break
            touched = lows[k] <= stop if side > 0 else highs[k] >= stop
            if touched:
                worse = min(stop, opens[k]) if side > 0 else max(stop, opens[k])
                exit_price, reason = _clip(worse * (1 - side * slip), lows[k], highs[k]), 1
                break
            through = highs[k] > target if side > 0 else lows[k] < target
            if through:
                better = max(target, opens[k]) if side > 0 else min(target, opens[k])
                exit_price, reason = _clip(better * (1 - side * slip), lows[k], highs[k]), 2
                break
            if left[k]:
                exit_price, reason = _clip(closes[k] * (1 - side * slip), lows[k], highs[k]), 5
                break
            k += 1
        if reason > 0:
            gross[t] = side * (exit_price - entry) / entry
            how[t] = reason
            end[t] = k
    return gross, how, end
