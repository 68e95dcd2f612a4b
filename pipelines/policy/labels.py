"""Triple-barrier labels: what would have become of a trade decided at each bar's close.

The rules are those of the backtest's engine. Entry is at the open of the market's next bar, or not at all if nothing
trades in it. Inside a bar the stop comes before the target. The time barrier, counted in the market's bars, and the
square-off are at the next open; what nobody took by then the broker closes for its fee. Slippage is on every order.
Delivery is left at the close before an announced ex-date and not entered towards one; a split or bonus that came
unannounced is neither a gain nor a loss. A row whose trade is not over when the bars end has no label: that is what
keeps the future out of a training slice.
"""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.charges import rates_on, round_trip_rate
from pipelines.domain.compiled import kept
from pipelines.domain.corporate_actions import adjustments
from pipelines.domain.market_calendar import hours_of_bars
from pipelines.domain.orders import Product
from pipelines.domain.trading_phases import Group, broker_ends_intraday, square_off_fee
from pipelines.params import LabelParams
from pipelines.policy.overnight import ex_date_rows
from pipelines.policy.panel import Panel, microseconds

ATR = "atr_pct_14"  #: the feature all distances are measured in: average true range over close
SIDES = (("long", 1), ("short", -1))
#: How a labelled trade ended; 0 is not at all
STOPPED, TARGETED, TIMED, SQUARED, EX_DATED, BY_BROKER = 1, 2, 3, 4, 5, 6


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


def session_bars(panel: Panel, minutes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a row's session stands in the market's count of bars; all three of shape (n_rows,).

    Returns
    -------
    squared_from : int64, number of the first bar at whose open intraday positions are closed, see `squared_off`
    last : int64, number of the session's last bar
    too_late : bool, whether the market's next bar is one of those, so that nothing is entered; never on daily bars
    """
    numbers, table = panel.bar_numbers, panel.table
    if not panel.interval.intraday:
        return numbers, numbers, np.zeros(len(table), dtype=bool)
    step = panel.interval.minutes * 60_000_000
    opens, ends = microseconds(table["open_time"]), microseconds(table["session_end"])
    last = numbers + -((opens - ends) // step) - 1
    squared_from = np.minimum(numbers + -((opens - (ends - minutes * 60_000_000)) // step), last)
    return squared_from, last, squared_from <= numbers + 1


def by_broker(panel: Panel) -> np.ndarray:
    """Whether the broker has ended the day's intraday trading by the time a row's bar opens; never on daily bars."""
    if not panel.interval.intraday:
        return np.zeros(len(panel.table), dtype=bool)
    ends = panel.table["session_end"]
    times = {end: broker_time(end) for end in ends.unique()}
    return (panel.table["open_time"] >= ends.map(times)).to_numpy()


def broker_time(session_end: datetime) -> datetime:
    """When the broker ends what is intraday in a session that ends then."""
    opened, _, _ = hours_of_bars(session_end.date())
    return broker_ends_intraday(Group.AUCTION_STOCK, opened, session_end)


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
        3 time, 4 square-off, 5 before an ex-date, 6 by the broker, 0 none; `_end`: when it was known, the close of the
        bar that decided it, of 6 without such a bar the session's end; `_end_bar`: the same in the market's count of
        bars, -1 if none; `_end_row`: the row of the bar whose price was paid, -1 if none. NaN and NaT where there was
        no trade to enter (last bars of a session, nothing traded in the next bar, an ex-date ahead, no ATR) or where
        the bars end before the trade does.
    """
    table = panel.table
    days, squared = session_days(panel), squared_off(panel, label.square_off_minutes)
    broker, numbers_of_bars, ex_dates = by_broker(panel), panel.bar_numbers, ex_date_rows(panel)
    session_ends = table["session_end"].to_numpy()
    squared_from, last_bars, _ = session_bars(panel, label.square_off_minutes)
    day_is_over = session_ends <= (table["close_time"].max() if len(table) else pd.NaT)
    factors = adjustments(table)
    numbers = {name: table[name].to_numpy(np.float64) * factors for name in ("open", "high", "low", "close")}
    atr = table[ATR].to_numpy(np.float64) if ATR in table else np.full(len(table), np.nan)
    rates = charge_rates(days, panel.product, costs.position_inr)
    fees = broker_fees(days, costs.position_inr)
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
                numbers_of_bars[rows],
                squared[rows],
                squared_from[rows],
                broker[rows],
                day_is_over[rows],
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
        columns[f"{name}_net"] = gross - rates - np.where(how == BY_BROKER, fees, 0.0)
        columns[f"{name}_how"] = how
        unmet = (how == BY_BROKER) & ~broker[end]
        ends = pd.Series(np.where(unmet, session_ends[end], closes[end])).where(end >= 0)
        columns[f"{name}_end"] = ends.astype(TIME_DTYPE)
        columns[f"{name}_end_bar"] = np.where(end >= 0, np.where(unmet, last_bars[end], numbers_of_bars[end]), -1)
        columns[f"{name}_end_row"] = end
    return pd.DataFrame(columns, index=table.index)


def charge_rates(days: np.ndarray, product: Product, position_inr: float) -> np.ndarray:
    """Round-trip charges per rupee at each day's rates, for a position of `position_inr` rupees."""
    unique, inverse = np.unique(days, return_inverse=True)
    by_rates: dict[date, float] = {}
    values = np.empty(len(unique))
    for i, number in enumerate(unique):
        day = _as_date(number)
        key = rates_on(product, day).effective_from
        if key not in by_rates:
            by_rates[key] = round_trip_rate(product, position_inr, day)
        values[i] = by_rates[key]
    return values[inverse]


def broker_fees(days: np.ndarray, position_inr: float) -> np.ndarray:
    """What the broker takes for ending a position of `position_inr` rupees itself, per rupee, tax included."""
    unique, inverse = np.unique(days, return_inverse=True)
    fees = [fee * (1 + tax) for fee, tax in (square_off_fee(_as_date(number)) for number in unique)]
    return np.array([float(fee) for fee in fees])[inverse] / position_inr if len(days) else np.empty(0)


def _as_date(number: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(number))


@kept()
def _clip(price: float, low: float, high: float) -> float:
    return min(max(price, low), high)


@kept()
def _run_barriers(
    opens, highs, lows, closes, atr, days, numbers, squared, squared_from, broker, day_is_over, left, refused,
    intraday, side, stop_atr, target_atr, hold, slip,
):  # fmt: skip  # pragma: no cover - compiled
    n = len(opens)
    gross = np.full(n, np.nan)
    how = np.zeros(n, np.int8)
    end = np.full(n, -1, np.int64)
    for t in range(n - 1):
        e = t + 1
        if not atr[t] > 0.0 or numbers[e] != numbers[t] + 1:
            continue
        if (intraday and (days[e] != days[t] or squared[e])) or refused[e]:
            continue
        distance = closes[t] * atr[t]
        stop = closes[t] - side * stop_atr * distance
        target = closes[t] + side * target_atr * distance
        entry = _clip(opens[e] * (1 + side * slip), lows[e], highs[e])
        exit_price, reason, k = 0.0, 0, e
        while k <= n:
            if intraday and (k == n or days[k] != days[e]):  # nothing traded any more: the broker, at the last price
                if k < n or day_is_over[e]:
                    exit_price, reason, k = closes[k - 1], 6, k - 1
                break
            if k == n:
                break
            if k > e and ((intraday and squared[k]) or numbers[k] - numbers[e] >= hold):
                timed = not intraday or numbers[e] + hold < squared_from[k]
                reason = 6 if broker[k] else 3 if timed else 4
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
