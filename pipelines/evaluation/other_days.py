"""The policy's own decisions, taken on other days: what it would have earned with no idea of when.

All its decisions are turned by whole sessions: what was decided on the fifth day is decided on the twelfth, at the same
bar, for the same instrument and side. Such a policy has the density, the sides, the sizes and the hours of ours, in the
same market, and knows nothing of it. Ours, and each turned one, is replayed from labels with one purse: one position of
an instrument at a time, the most promising first, gross exposure bounded. Both sides of the comparison are replayed
alike, so that the engine's finer rules favour neither.

A draw of entries that may look at how long a trade lasts is no such opponent: it fills the calendar with short trades,
which are those that meet their stop.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.compiled import kept
from pipelines.domain.signals import Action
from pipelines.evaluation.metrics import sharpe
from pipelines.policy.labels import session_bars, session_days
from pipelines.policy.panel import Panel


@dataclass(frozen=True, slots=True)
class Purse:
    """How much of the equity goes into trades; shares of the opening equity."""

    risk_per_trade: float
    max_position: float
    max_gross: float
    hold_bars: int
    square_off_minutes: int


@dataclass(frozen=True)
class OtherDays:
    """Results a day, booked when trades end, over opening equity; none after the last day."""

    own: np.ndarray  #: shape (n_days,)
    turned: np.ndarray  #: shape (n_turns, n_days)


def on_other_days(
    panel: Panel,
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    purse: Purse,
    *,
    first_us: int,
    last_us: int,
    turns: int,
    seed: int,
) -> OtherDays:
    """Replay the policy's decisions, and the same turned by whole sessions.

    A turn moves every decision by at least as many sessions as a trade may last, around the end of the period to its
    beginning. A decision that finds no bar, or no trade to enter, on its other day is left out.

    Parameters
    ----------
    decisions : DataFrame
        Of `judge`, index = row of the panel: `action`, `side`, `expected_return`, `stop_distance`.
    labels : DataFrame
        Of `barrier_labels`, rows as the panel.
    first_us, last_us : closes of the period, microseconds since 1970 UTC
    turns : most turns; fewer where the period has fewer sessions, none where it is too short for any
    seed : of the choice among all turns
    """
    market = _Market.of(panel, labels, purse, first_us, last_us)
    taken = decisions[(decisions["action"] != Action.SKIP).to_numpy()]
    taken = taken[np.isin(taken.index, market.rows)]
    chosen = market.turns(turns, seed, purse.hold_bars)
    results = [market.replay(taken, turn, purse) for turn in (0, *chosen)]
    return OtherDays(results[0], np.array(results[1:]).reshape(len(chosen), market.n_days))


def timing_percentile(found: OtherDays) -> float | None:
    """Share of all policies, ours among them, that ours beats in Sharpe ratio and in sum; None without any to beat.

    Where the days mean nothing all of them are alike, and the share is above 1 - a with a probability of at most a: it
    is the complement of a permutation test's p value. The sum counts too: among policies that lose, the wilder one has
    the better ratio. One that never moves has ratio 0.
    """
    mine = sharpe(found.own)
    if mine is None or not len(found.turned):
        return None
    beaten = [(sharpe(row) or 0.0) < mine and row.sum() < found.own.sum() for row in found.turned]
    return float(np.sum(beaten) / (len(beaten) + 1))


@dataclass(frozen=True)
class _Market:
    """The bars of a period by instrument, session and place in the session."""

    rows: np.ndarray  #: of the panel, ascending
    place: np.ndarray  #: (n_panel_rows, 3): instrument, session, bar in the session; -1 outside of the period
    grid: np.ndarray  #: (instruments, sessions, bars): row of the panel, or -1
    numbers: np.ndarray  #: the market's count of bars, of each panel row
    ends: (
        np.ndarray
    )  #: (2, n_panel_rows) bar number at which a long or short trade is known to have ended; -1: no trade
    nets: np.ndarray  #: (2, n_panel_rows) its return after charges
    end_days: np.ndarray  #: (2, n_panel_rows) day on which it ends, from 0
    n_days: int

    @classmethod
    def of(cls, panel: Panel, labels: pd.DataFrame, purse: Purse, first_us: int, last_us: int) -> "_Market":
        inside = (panel.closes >= first_us) & (panel.closes <= last_us)
        rows, numbers = np.flatnonzero(inside), panel.bar_numbers
        all_days = session_days(panel)
        days, session = np.unique(all_days[rows], return_inverse=True)
        symbols = np.empty(len(inside), np.int64)
        for number, of_symbol in enumerate(panel.symbol_slices.values()):
            symbols[of_symbol] = number
        place = np.full((len(inside), 3), -1, np.int64)
        place[rows] = np.column_stack([symbols[rows], session, _bar_in_session(panel, purse.square_off_minutes)[rows]])
        grid = np.full((len(panel.symbol_slices), len(days), int(place[:, 2].max(initial=0)) + 1), -1, np.int64)
        grid[tuple(place[rows].T)] = rows
        last = int(numbers[rows].max(initial=-1))
        ends, nets, end_days = [], [], []
        for side in ("long", "short"):
            end_rows = labels[f"{side}_end_row"].to_numpy()
            within = inside & (end_rows >= 0) & (labels[f"{side}_end_bar"].to_numpy() <= last)
            ends.append(np.where(within, labels[f"{side}_end_bar"].to_numpy(), -1))
            nets.append(labels[f"{side}_net"].to_numpy())
            end_days.append(np.searchsorted(days, all_days[np.maximum(end_rows, 0)]))
        return cls(rows, place, grid, numbers, np.array(ends), np.array(nets), np.array(end_days), len(days))

    def turns(self, most: int, seed: int, hold_bars: int) -> np.ndarray:
        """Sessions to turn by, ascending: none so near that a trade could last from a day into its other day."""
        nearest = -(-(hold_bars + 1) // self.grid.shape[2])
        every = np.arange(nearest, self.n_days - nearest + 1)
        if len(every) <= most:
            return every
        return np.sort(np.random.default_rng(seed).choice(every, most, replace=False))

    def replay(self, taken: pd.DataFrame, turn: int, purse: Purse) -> np.ndarray:
        """Results a day of decisions that are turned by so many sessions."""
        instrument, session, bar = self.place[taken.index.to_numpy()].T
        rows = self.grid[instrument, (session + turn) % max(self.n_days, 1), bar]
        sides = (taken["side"].to_numpy() < 0).astype(np.int64)
        distance = taken["stop_distance"].to_numpy(np.float64)
        usable = (rows >= 0) & (self.ends[sides, rows] >= 0) & (distance > 0)
        half = np.where((taken["action"] == Action.REDUCE).to_numpy(), 0.5, 1.0)
        size = half * np.minimum(purse.risk_per_trade / distance, purse.max_position)
        order = np.lexsort((instrument, -taken["expected_return"].to_numpy(), self.numbers[rows]))
        order = order[usable[order]]
        rows, sides = rows[order], sides[order]
        booked: np.ndarray = _replay(
            instrument[order], self.numbers[rows], self.ends[sides, rows], self.nets[sides, rows],
            self.end_days[sides, rows], size[order], purse.max_gross, len(self.grid), self.n_days,
        )  # fmt: skip
        return booked


def _bar_in_session(panel: Panel, square_off_minutes: int) -> np.ndarray:
    """A row's place among the bars of its session, counted back from the last one so that short days fit."""
    if not panel.interval.intraday:
        return np.zeros(len(panel.table), np.int64)
    _, last, _ = session_bars(panel, square_off_minutes)
    return last - panel.bar_numbers


@kept()
def _replay(instruments, numbers, ends, nets, end_days, sizes, max_gross, n_instruments, n_days):  # pragma: no cover
    booked = np.zeros(n_days)
    until = np.full(n_instruments, -1, np.int64)
    held = np.zeros(n_instruments)
    gross = 0.0
    for i in range(len(numbers)):
        if i == 0 or numbers[i] != numbers[i - 1]:
            for k in range(n_instruments):
                if held[k] > 0.0 and until[k] <= numbers[i]:
                    gross -= held[k]
                    held[k] = 0.0
        k = instruments[i]
        if held[k] > 0.0 or gross + sizes[i] > max_gross + 1e-9:
            continue
        held[k], until[k] = sizes[i], ends[i]
        gross += sizes[i]
        booked[end_days[i]] += sizes[i] * nets[i]
    return booked
