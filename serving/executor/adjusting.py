"""The adjustment of history and of the bars that go on with it, as validate gives it to the same bars."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from pipelines.domain.bars import IST, Bar
from pipelines.domain.corporate_actions import GoingOn, adjust, adjustments
from pipelines.ingest.kinds import known_times

OPENING = pd.Timedelta(hours=9, minutes=15)  #: of a day


def with_adjustment(history: Mapping[str, pd.DataFrame], actions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Histories by symbol, each with the column `adjustment`.

    Which actions a broker's history carries already is judged by its prices, see `corporate_actions.py`.
    """
    return {
        symbol: frame.assign(adjustment=adjust(frame, actions, symbol).factors) for symbol, frame in history.items()
    }


class Adjusting:
    """Gives live bars their adjustment; a bar of a day that has begun gets its day's, however often it is asked for.

    Parameters
    ----------
    history : by symbol, sorted by time, with `adjustment`; may be empty
    actions : DataFrame of ACTION_COLUMNS
        One that became known only after the open of its ex-date came too late for that day's bars, and is left out.
    """

    def __init__(self, history: Mapping[str, pd.DataFrame], actions: pd.DataFrame):
        in_time = known_times(actions, "actions") <= actions["ex_date"] + OPENING
        self._actions = actions[in_time.to_numpy(bool)]
        self._of = {symbol: _after(symbol, frame, self._actions) for symbol, frame in history.items() if len(frame)}

    def carry(self, bar: Bar) -> Bar:
        own = self._of.get(bar.symbol)
        if own is None:
            own = self._of[bar.symbol] = GoingOn(self._actions, bar.symbol)
        factor = own.take(bar.open_time.astimezone(IST).date(), bar.open, bar.close)
        return bar if factor == bar.adjustment else replace(bar, adjustment=factor)


def _after(symbol: str, frame: pd.DataFrame, actions: pd.DataFrame) -> GoingOn:
    last = frame.iloc[-1]
    factor, day = float(adjustments(frame)[-1]), last["open_time"].date()
    return GoingOn(actions, symbol, factor, (day, float(last["close"])))
