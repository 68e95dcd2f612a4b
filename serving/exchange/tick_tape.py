"""Recorded ticks as a market: each stamp's ticks are one frame, and at every minute stands a clock frame."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import session_on
from serving.exchange.market import Frame, FrameKind, SessionDay, Tick, post_close_of, rupees, to_paise

MINUTE = timedelta(minutes=1)
#: On a tape no bar is known whose prices would end the reach of slippage.
ANYWHERE = (Decimal(0), Decimal("Infinity"))


class TickTape:
    """A market of recorded ticks.

    Every tick is a jump from the one before, and the shares since then are what orders may take a part of.

    Parameters
    ----------
    ticks : DataFrame
        symbol, at, price, total: as `read_ticks` gives them.
    instruments : Mapping of symbol to Instrument
        Of every tick.
    """

    def __init__(self, ticks: pd.DataFrame, instruments: Mapping[str, Instrument]):
        self._instruments = instruments
        self._ticks = dict(iter(ticks.groupby(ticks["at"].dt.date, sort=True)))
        self.days = [_hours(day) for day in self._ticks]
        self._frames = self._play()

    def next_frame(self) -> Frame:
        return next(self._frames)

    def _play(self) -> Iterator[Frame]:
        for session in self.days:
            yield Frame(FrameKind.OPENING, session.open)
            minute = session.open + MINUTE
            for at, ticks in self._stamps(self._ticks[session.day]):
                while minute <= at:
                    yield Frame(FrameKind.BOUNDARY, minute)
                    minute += MINUTE
                yield Frame(FrameKind.TICKS, at, ticks)
            while minute < session.close:
                yield Frame(FrameKind.BOUNDARY, minute)
                minute += MINUTE
            yield Frame(FrameKind.CLOSING, session.close)
        yield Frame(FrameKind.POST_CLOSE, post_close_of(self.days[-1]))

    def _stamps(self, rows: pd.DataFrame) -> Iterator[tuple[datetime, tuple[Tick, ...]]]:
        totals: dict[str, int] = {}
        ordered = rows.sort_values(["at", "symbol"], kind="stable")
        stamp, ticks = None, []
        for symbol, at, price, total in zip(
            ordered["symbol"], ordered["at"].dt.to_pydatetime(), ordered["price"], ordered["total"], strict=True
        ):
            if stamp is not None and at != stamp:
                yield stamp, tuple(ticks)
                ticks = []
            stamp = at.astimezone(IST)
            instrument = self._instruments[symbol]
            shares = total - totals.get(symbol, 0) if instrument.has_volume else 0
            totals[symbol] = total
            ticks.append(Tick(instrument, rupees(to_paise(price)), int(shares), *ANYWHERE))
        if stamp is not None:
            yield stamp, tuple(ticks)


def _hours(day: date) -> SessionDay:
    session = session_on(day)
    assert session is not None, "only ticks within sessions are kept"
    return SessionDay(day, session.open, session.end)
