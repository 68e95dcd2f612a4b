"""Small raw markets whose faults are made by the tests."""

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.corporate_actions import actions_table
from pipelines.domain.market_calendar import bar_times, sessions_between
from pipelines.ingest.names import kind_of, tokens_for
from pipelines.ingest.world import instruments_table
from pipelines.params import ValidateParams
from pipelines.validate.bars import Raw

FIRST, LAST = pd.Timestamp("2023-01-02").date(), pd.Timestamp("2023-12-29").date()


def some_bars(symbol: str = "ABC", interval: Interval = Interval.DAY, count: int | None = None) -> pd.DataFrame:
    """Sound bars of 2023 at a gently moving price."""
    times = [slot for session in sessions_between(FIRST, LAST) for slot in bar_times(session, interval)][:count]
    opens, closes = zip(*times, strict=True)
    price = pd.Series([100.0 + (place % 7) * 0.5 for place in range(len(times))])
    return pd.DataFrame(
        {
            "symbol": symbol,
            "open_time": pd.DatetimeIndex(opens).tz_convert("Asia/Kolkata").as_unit("us"),
            "close_time": pd.DatetimeIndex(closes).tz_convert("Asia/Kolkata").as_unit("us"),
            "open": price,
            "high": price + 1,
            "low": price - 1,
            "close": price + 0.25,
            "volume": 1000,
            "source": f"{symbol}.csv",
            "source_row": range(2, len(times) + 2),
        }
    )


def a_raw_market(*bars: pd.DataFrame, rejected: pd.DataFrame | None = None, actions: pd.DataFrame | None = None) -> Raw:
    symbols = [str(own["symbol"].iloc[0]) for own in bars]
    tokens = tokens_for(symbols)
    rows: list[dict[str, object]] = [
        {
            "symbol": symbol,
            "token": tokens[symbol],
            "kind": kind_of(symbol).value,
            "tick_size": "0.05",
            "lot_size": 1,
            "sector": "",
            "has_volume": True,
        }
        for symbol in symbols
    ]
    known = actions_table() if actions is None else actions
    return Raw(pd.concat(bars, ignore_index=True), instruments_table(rows), rejected, known)


def a_split(ratio: float, ex_date: str, symbol: str = "ABC") -> pd.DataFrame:
    midnight = pd.Timestamp(ex_date, tz="Asia/Kolkata")
    return actions_table([{"symbol": symbol, "ex_date": midnight, "kind": "split", "ratio": ratio, "source": "a test"}])


def after_a_split(bars: pd.DataFrame, ratio: float, ex_date: str) -> pd.DataFrame:
    """The bars as they are traded when every share becomes `ratio` on a day."""
    after = bars["open_time"] >= pd.Timestamp(ex_date, tz="Asia/Kolkata")
    bars = bars.copy()
    bars.loc[after, ["open", "high", "low", "close"]] /= ratio
    return bars


def validation(**overrides: object) -> ValidateParams:
    content = {"max_quarantined": 0.05, "min_completeness": 0.8, "max_overnight_gap": 0.15, "min_bars": 100,
               "severity": {}, "reference": None}  # fmt: skip
    return ValidateParams.model_validate(content | overrides)
