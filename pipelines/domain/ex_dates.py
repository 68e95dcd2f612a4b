"""Delivery positions and ex-dates: they are left in the last session before, and none is entered towards one. Pure.

On an ex-date a share's price, and of splits and bonuses the number of shares, is another one than yesterday; the broker
credits new shares days later. So nothing is held over an ex-date that was announced, in backtest, paper and live alike.
An action counts in a session if it was known before that session began: then all three know it at the same moment.
Dividends do not count: their step is small, and the holder has it in cash.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import isnan
from typing import Any

import pandas as pd

from pipelines.domain.corporate_actions import ActionKind, actions_table
from pipelines.domain.market_calendar import trading_day_after

#: Longer than any break between two sessions since 2000: where the calendar does not know the next session
LONGEST_BREAK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ExDate:
    """What takes effect for one share on one day."""

    symbol: str
    day: date
    kind: ActionKind
    ratio: float  #: as in `ACTION_COLUMNS`; NaN where nobody told it
    known_at: datetime

    def __str__(self) -> str:
        ratio = "" if isnan(self.ratio) else f" {self.ratio:g} for 1"
        return f"{self.kind}{ratio}, ex-date {self.day}"


class ExDates:
    """The ex-dates of all instruments over which nothing is held.

    Parameters
    ----------
    actions : DataFrame of ACTION_COLUMNS, in any order; None: nothing is known
        An action without `known_at` is known from the midnight of its ex-date.
    """

    def __init__(self, actions: pd.DataFrame | None = None):
        self._of: dict[str, list[ExDate]] = {}
        rows = (actions if actions is not None else actions_table()).sort_values("ex_date", kind="stable")
        for row in rows.to_dict("records"):
            found = _ex_date(row)
            if found is not None:
                self._of.setdefault(found.symbol, []).append(found)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._of

    def of(self, symbol: str) -> Sequence[ExDate]:
        """All of one instrument, in order of time."""
        return self._of.get(symbol, ())

    def ahead(self, symbol: str, session: date, known_by: datetime) -> ExDate | None:
        """What takes effect after a session and not later than in the next: a position is left in this session."""
        return self.between(symbol, session, next_session_by(session), known_by) if symbol in self else None

    def against_entry(self, symbol: str, decided: date, session: date, known_by: datetime) -> ExDate | None:
        """Why nothing is entered in a session on a decision of an earlier day, or of its own; None if it may be.

        The price it was decided at is one of before the ex-date, or the position would be left in that very session.
        """
        return self.between(symbol, decided, next_session_by(session), known_by) if symbol in self else None

    def between(self, symbol: str, after: date, until: date, known_by: datetime) -> ExDate | None:
        """The first that takes effect later than one day, not later than another, and was known at a moment."""
        own = self.of(symbol)
        return next((found for found in own if after < found.day <= until and found.known_at <= known_by), None)


def next_session_by(day: date) -> date:
    """The day of the session that follows; where the calendar does not know it, the latest on which it may be."""
    return trading_day_after(day) or day + LONGEST_BREAK


def _ex_date(row: Mapping[Hashable, Any]) -> ExDate | None:
    """A row that changes a share; None for dividends, and for a ratio of 1, which changes nothing."""
    kind, ratio = ActionKind(row["kind"]), float(row["ratio"])
    if kind is ActionKind.DIVIDEND or ratio == 1 or pd.isna(row["ex_date"]):
        return None
    known_at = row["ex_date"] if pd.isna(row["known_at"]) else row["known_at"]
    return ExDate(str(row["symbol"]), row["ex_date"].date(), kind, ratio, known_at.to_pydatetime())
