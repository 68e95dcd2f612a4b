"""Pieces for the lake, and a clock that a test moves."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE
from pipelines.ingest.kinds import typed
from pipelines.ingest.source import Fetched

START = datetime(2026, 1, 5, 9, 15, tzinfo=IST)


class Clock:
    """Shows the time a test sets; every look takes a second."""

    def __init__(self, moment: datetime = datetime(2026, 6, 1, 18, 0, tzinfo=IST)) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment

    def wait(self, **span: int) -> datetime:
        self.moment += timedelta(**span)
        return self.moment


def some_bars(closes: Sequence[tuple[int, float]], symbol: str = "SBIN", file: str = "a.csv") -> pd.DataFrame:
    """Five-minute bars by place from START on; open, high and low as the close."""
    opens = pd.Series([START + timedelta(minutes=5 * place) for place, _ in closes], dtype=TIME_DTYPE)
    frame = pd.DataFrame({"symbol": symbol, "open_time": opens, "close_time": opens + pd.Timedelta(minutes=5)})
    for name in ("open", "high", "low", "close"):
        frame[name] = [close for _, close in closes]
    frame["volume"] = 100
    frame["source"] = file
    frame["source_row"] = range(1, len(frame) + 1)
    return typed(frame, "bars")


def a_piece(table: pd.DataFrame, kind: str = "bars", key: str = "SBIN@5min", origin: str = "a.csv", **more) -> Fetched:
    """A piece whose raw answer is its table."""
    raw = hashlib.sha256(table.to_csv().encode()).hexdigest()
    return Fetched(kind=kind, key=key, table=table, origin=origin, **({"known_at": None, "digest": raw} | more))  # type: ignore[arg-type]


def news(*told: tuple[str, str], symbol: str = "TCS") -> pd.DataFrame:
    """Headlines by the time they were told."""
    times = pd.Series([pd.Timestamp(time, tz=IST) for time, _ in told], dtype=TIME_DTYPE)
    rows = {"symbol": symbol, "time": times, "headline": [headline for _, headline in told], "sentiment": 0.5}
    return typed(pd.DataFrame(rows), "news")


def actions(*told: tuple[str, float, str | None], symbol: str = "TCS") -> pd.DataFrame:
    """Splits by ex-date, ratio and the time they were announced."""
    rows = [
        {"symbol": symbol, "ex_date": pd.Timestamp(day, tz=IST), "kind": "split", "ratio": ratio, "amount_inr": None,
         "source": f"list of {known}"}
        for day, ratio, known in told
    ]  # fmt: skip
    known_at = pd.Series([pd.Timestamp(known or "NaT").tz_localize(IST) for _, _, known in told], dtype=TIME_DTYPE)
    return typed(pd.DataFrame(rows).assign(known_at=known_at), "actions")
