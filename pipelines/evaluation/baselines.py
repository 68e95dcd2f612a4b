"""What the policy must beat: holding everything, and entering at random with its own exits, sizes and charges."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd

from pipelines.domain.charges import order_charges
from pipelines.domain.corporate_actions import adjusted
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.evaluation.metrics import sharpe
from pipelines.evaluation.trades import Trade
from pipelines.policy.labels import session_days
from pipelines.policy.panel import Panel


def buy_and_hold(panel: Panel, first_us: int, last_us: int, opening_inr: float) -> pd.DataFrame:
    """Equal rupees in every instrument, bought at its first open of the period and sold at its last close.

    Delivery charges are paid on both; a part that no instrument is bought for stays cash.

    Returns
    -------
    DataFrame : day, equity (rupees)
    """
    table = adjusted(panel.table)
    inside = (panel.closes >= first_us) & (panel.closes <= last_us)
    days = session_days(panel)
    unique = np.unique(days[inside])
    purse = opening_inr / len(panel.symbol_slices)
    total = np.zeros(len(unique))
    for rows in panel.symbol_slices.values():
        kept = np.arange(rows.start, rows.stop)[inside[rows]]
        if not len(kept):
            total += purse
            continue
        opening, closes = table["open"].iloc[kept[0]], table["close"].to_numpy()[kept]
        bought, sold = (_as_date(days[kept[i]]) for i in (0, -1))
        value = purse / (1 + _rate(Side.BUY, purse, bought))
        last_of_day = np.r_[days[kept][1:] != days[kept][:-1], True]
        held = pd.Series(value * closes[last_of_day] / opening, index=days[kept][last_of_day])
        path = held.reindex(unique).ffill().to_numpy().copy()
        path[: int(np.searchsorted(unique, days[kept[0]]))] = purse
        end = int(np.searchsorted(unique, days[kept[-1]]))
        path[end:] = held.iloc[-1] * (1 - _rate(Side.SELL, float(held.iloc[-1]), sold))
        total += path
    return pd.DataFrame({"day": [_as_date(d) for d in unique], "equity": total})


def _rate(side: Side, value_inr: float, day: date) -> float:
    value = Decimal(str(round(max(value_inr, 1.0), 2)))
    charges = order_charges(product=Product.CNC, side=side, value=value, day=day, first_delivery_sale=True)
    return float(charges.total / value)


def booked_returns(trades: Sequence[Trade], panel: Panel, first_us: int, last_us: int, opening: float) -> np.ndarray:
    """Net profit of trades over opening equity, booked on the day of their exit, per day of the period."""
    days = session_days(panel)
    unique = np.unique(days[(panel.closes >= first_us) & (panel.closes <= last_us)])
    booked = np.zeros(len(unique))
    for trade in trades:
        booked[np.searchsorted(unique, days[trade.exit_row])] += float(trade.outcome.net_inr) / opening
    return booked


def random_entries(
    panel: Panel,
    labels: pd.DataFrame,
    trades: Sequence[Trade],
    *,
    first_us: int,
    last_us: int,
    opening_inr: float,
    runs: int,
    seed: int,
) -> np.ndarray:
    """Daily results of policies that enter at random as often as ours did, per instrument and side.

    Exits, slippage and charges are those of the labels, which follow the engine's rules; sizes are the policy's own,
    shuffled. An instrument holds one position at a time. Profits are booked on the day of exit.

    Parameters
    ----------
    labels : DataFrame
        Of `barrier_labels`, rows as the panel.
    trades : the policy's
    runs : random policies
    seed : of the draws

    Returns
    -------
    array of shape (runs, n_days), net profit over opening equity; shape (0, n_days) if the policy did not trade.
    """
    days = session_days(panel)
    inside = (panel.closes >= first_us) & (panel.closes <= last_us)
    unique = np.unique(days[inside])
    if not trades:
        return np.zeros((0, len(unique)))
    generator = np.random.default_rng(seed)
    shares = np.array([float(t.outcome.entry_price) * t.outcome.quantity for t in trades]) / opening_inr
    eligible, wanted = _eligible(panel, labels, inside, last_us), _wanted(trades)
    nets = {side: labels[f"{side}_net"].to_numpy() for side in ("long", "short")}
    ends = {side: labels[f"{side}_end_row"].to_numpy() for side in ("long", "short")}
    booked = np.zeros((runs, len(unique)))
    for run in range(runs):
        sizes = iter(generator.permutation(shares))
        for symbol, sides in wanted.items():
            for row, side in _draw(generator, eligible[symbol], generator.permutation(sides), ends):
                exit_day = np.searchsorted(unique, days[ends[side][row]])
                booked[run, exit_day] += next(sizes) * nets[side][row]
    return booked


def share_beaten(own: np.ndarray, others: np.ndarray) -> float | None:
    """Share of other policies' daily results (one a row) that ours beats in Sharpe ratio and in sum; None without any.

    The sum counts too: among policies that lose, the wilder one has the better ratio. One that never moves has ratio 0.
    """
    mine = sharpe(own)
    if mine is None or not len(others):
        return None
    return float(np.mean([(sharpe(row) or 0.0) < mine and row.sum() < own.sum() for row in others]))


def _wanted(trades: Sequence[Trade]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for trade in trades:
        wanted.setdefault(trade.outcome.symbol, []).append("long" if trade.outcome.side is Side.BUY else "short")
    return dict(sorted(wanted.items()))


def _eligible(panel: Panel, labels: pd.DataFrame, inside: np.ndarray, last_us: int) -> dict[str, np.ndarray]:
    """Rows of each instrument whose trade, on either side, begins and ends within the period."""
    ends = np.maximum(labels["long_end_row"].to_numpy(), labels["short_end_row"].to_numpy())
    both = (labels["long_end_row"].to_numpy() >= 0) & (labels["short_end_row"].to_numpy() >= 0)
    usable = inside & both & (panel.closes[np.maximum(ends, 0)] <= last_us)
    return {s: np.arange(rows.start, rows.stop)[usable[rows]] for s, rows in panel.symbol_slices.items()}


def _draw(
    generator: np.random.Generator, rows: np.ndarray, sides: np.ndarray, ends: dict[str, np.ndarray]
) -> list[tuple[int, str]]:
    """Random entries that do not overlap; where an instrument is full, fewer than asked."""
    if not len(rows):
        return []
    taken = np.zeros(rows[-1] - rows[0] + 1, dtype=bool)
    drawn: list[tuple[int, str]] = []
    for row in generator.permutation(rows):
        if len(drawn) == len(sides):
            break
        side = str(sides[len(drawn)])
        first, last = row - rows[0], min(ends[side][row] - rows[0], len(taken) - 1)
        if not taken[first : last + 1].any():
            taken[first : last + 1] = True
            drawn.append((int(row), side))
    return drawn


def _as_date(number: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(number))
