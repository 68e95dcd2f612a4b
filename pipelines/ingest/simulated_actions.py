"""Splits and bonuses planted in a simulated market: which stock, when, and when it was announced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import ActionKind, actions_table
from pipelines.domain.market_calendar import Session

# The k-th action falls on the k-th stock, at a session counted from the first so that a longer market keeps it
_FIRST, _APART = 15, 7  #: sessions
_IN_TURN = ((ActionKind.SPLIT, 5), (ActionKind.BONUS, 2))  #: 5:1, and one share for one
_ANNOUNCED_BEFORE = 10  #: sessions before the ex-date, after the close


@dataclass(frozen=True, slots=True)
class Planned:
    session: int  #: number of the ex-date, from 0
    kind: ActionKind
    ratio: int


def plan_actions(count: int, symbols: Sequence[str], sessions: Sequence[Session]) -> dict[str, Planned]:
    """Actions by symbol: `count`, or as many as there are stocks and sessions for."""
    return {
        symbol: Planned(_FIRST + _APART * k, *_IN_TURN[k % len(_IN_TURN)])
        for k, symbol in enumerate(symbols[:count])
        if _FIRST + _APART * k < len(sessions)
    }


def told(planned: Mapping[str, Planned], sessions: Sequence[Session]) -> pd.DataFrame:
    """The plan as a table of actions."""
    return actions_table(
        {
            "symbol": symbol,
            "ex_date": datetime.combine(sessions[action.session].day, time(), tzinfo=IST),
            "kind": action.kind.value,
            "ratio": float(action.ratio),
            "known_at": datetime.combine(sessions[action.session - _ANNOUNCED_BEFORE].day, time(18), tzinfo=IST),
            "source": "simulated",
        }
        for symbol, action in sorted(planned.items())
    )
