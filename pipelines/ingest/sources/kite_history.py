"""Kite's history through the official client: windows of each series, oldest first, at the pace that Kite allows.

Kite serves prices as it adjusts them today, so what it says of an old day may be another thing next year: a piece is
known from the moment it was fetched. Nothing that still grows is taken: neither an open bar nor the day's own candle
before its official close is settled.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from functools import partial
from typing import Any, Protocol

import pandas as pd
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from pipelines.credentials import without_secrets
from pipelines.domain.bars import IST, PRICE_COLUMNS, TIME_DTYPE
from pipelines.domain.errors import BadInput, LoggedOut, NotFound, ServiceUnavailable
from pipelines.domain.history_windows import KITE_WORDS, HistoryWindow, history_windows_on
from pipelines.domain.instruments import Kind
from pipelines.domain.market_calendar import hours_of_bars
from pipelines.ingest.kinds import typed
from pipelines.ingest.names import canonical, kind_of
from pipelines.ingest.source import Fetched, Known, series_key
from pipelines.pacing import ReadPacer, Route

#: Day's candles are taken from this time of the day on: the official close comes after the market (not verified)
DAY_SETTLED = clock_time(18, 0)
ATTEMPTS = 6
#: Seconds before the second, third ... attempt. Kite counts calls by its own calendar seconds, so a refused call waits
#: out more than one, and longer each time: who goes on calling is blocked
PAUSES_S = (1.1, 2.5, 5.0, 10.0, 20.0)
_EPOCH = date(2000, 1, 1)  #: windows are counted from here, so that every run asks for the same ones
_INTERVALS = {word: interval for interval, word in KITE_WORDS.items()}
_MIDNIGHT = clock_time(0)


class Client(Protocol):
    """What is used of `kiteconnect.KiteConnect`."""

    def instruments(self, exchange: str) -> list[dict[str, Any]]: ...

    def historical_data(
        self,
        instrument_token: int,
        from_date: datetime,
        to_date: datetime,
        interval: str,
        continuous: bool = ...,
        oi: bool = ...,
    ) -> list[dict[str, Any]]: ...


@dataclass
class KiteHistory:
    """The source `kite`: bars of the symbols asked for, and the instruments themselves.

    Parameters
    ----------
    client : Client, with a token of today
    symbols : NSE symbols; `NFO:NIFTY26NOVFUT` is one of another exchange
    interval : Kite's word: minute, 3minute, 5minute, 10minute, 15minute, 30minute, 60minute, day
    start : first day of a series of which nothing is known yet
    known : what is stored already: windows before the last known day are not asked for again, its own is
    pacer : holds calls back; share it among all that call with one API key
    now : the market's time
    """

    client: Client
    symbols: Sequence[str]
    interval: str
    start: date
    known: Known | None = None
    pacer: ReadPacer = field(default_factory=ReadPacer)
    now: Callable[[], datetime] = lambda: datetime.now(IST)
    sleep: Callable[[float], None] = time.sleep
    name: str = "kite"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """Instruments first, then each symbol's windows from old to new.

        Raises
        ------
        LoggedOut : Kite refuses the token.
        ServiceUnavailable : it does not answer, or refuses for the rate, after several attempts.
        NotFound, BadInput : it does not know a symbol, or does not take the request.
        """
        window = self._window()
        listed = self._listed()
        yield self._instruments(listed)
        for symbol in self.symbols:
            row = listed[symbol]
            for first, last in self._windows(symbol, window, since, until):
                piece = self._piece(symbol, row, window, first, last)
                if len(piece.table):
                    yield piece

    def _window(self) -> HistoryWindow:
        windows = history_windows_on(self.now().date())
        if self.interval not in windows:
            raise BadInput(f"Kite has no interval {self.interval!r}; it has {', '.join(windows)}")
        return windows[self.interval]

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        """Kite's rows of the symbols asked for, by how they were asked for."""
        dumps: dict[str, dict[str, Mapping[str, Any]]] = {}
        found, unknown = {}, []
        for asked in self.symbols:
            exchange, _, symbol = asked.rpartition(":")
            exchange = exchange or "NSE"
            if exchange not in dumps:
                rows = self._asked(partial(self.client.instruments, exchange), Route.OTHER, f"the dump of {exchange}")
                dumps[exchange] = {str(row["tradingsymbol"]): row for row in rows}
            row = dumps[exchange].get(symbol)
            if row is None:
                unknown.append(asked)
            else:
                found[asked] = row
        if unknown:
            raise NotFound(f"Kite does not list {', '.join(unknown)}; correct the spelling or leave it out")
        return found

    def _instruments(self, listed: Mapping[str, Mapping[str, Any]]) -> Fetched:
        rows = [
            {
                "symbol": canonical(str(row["tradingsymbol"])),
                "token": int(row["instrument_token"]),
                "kind": _kind(row).value,
                "tick_size": str(row["tick_size"]),
                "lot_size": max(int(row["lot_size"]), 1),
                "sector": "",
                "has_volume": _kind(row) is not Kind.INDEX,
            }
            for row in listed.values()
        ]
        table = typed(pd.DataFrame(rows), "instruments")
        return Fetched("instruments", "kite", table, self.now(), "instrument dump", _digest(rows))

    def _windows(
        self, symbol: str, window: HistoryWindow, since: date | None, until: date
    ) -> Iterator[tuple[date, date]]:
        """First and last days of the requests; the same in every run but for the ends."""
        learnt = self.known.last_day("bars", self._key(symbol)) if self.known and since is None else None
        number = (max(learnt or self.start, self.start) - _EPOCH).days // window.days
        first = max(_EPOCH + timedelta(days=number * window.days), self.start) if since is None else since
        until = min(until, self.now().date())
        while first <= until:
            number = (first - _EPOCH).days // window.days
            end = min(_EPOCH + timedelta(days=(number + 1) * window.days - 1), until)
            yield first, end
            first = end + timedelta(days=1)

    def _piece(self, symbol: str, row: Mapping[str, Any], window: HistoryWindow, first: date, last: date) -> Fetched:
        token, derivative = int(row["instrument_token"]), _kind(row) in (Kind.FUTURE, Kind.OPTION)
        since, until = datetime.combine(first, _MIDNIGHT), datetime.combine(last, clock_time(23, 59, 59))
        origin = f"{symbol} {self.interval} from {first}"
        asked_at = self.now()
        candles = self._asked(
            lambda: self.client.historical_data(token, since, until, self.interval, oi=derivative),
            Route.HISTORICAL,
            origin,
        )
        table = _bars(canonical(str(row["tradingsymbol"])), candles, window.minutes, origin)
        table = table[_settled(table, window.minutes, asked_at)].reset_index(drop=True)
        digest = _digest(table.to_csv(index=False))
        return Fetched("bars", self._key(symbol), table, asked_at, origin, digest)

    def _key(self, symbol: str) -> str:
        interval = _INTERVALS.get(self.interval)
        name = canonical(symbol.rpartition(":")[2])
        return series_key(name, interval) if interval else f"{name}@{self.interval.replace('minute', 'min')}"

    def _asked(self, ask: Callable[[], Any], route: Route, what: str) -> Any:
        def attempt() -> Any:
            self.pacer.wait(route)
            return ask()

        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_pause,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Exception as error:  # the client has many, and those of requests
            problem = _problem(error, what)
        raise problem


def _pause(state: RetryCallState) -> float:
    return PAUSES_S[min(state.attempt_number, len(PAUSES_S)) - 1]


def _may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed: no answer, a gateway's page, too many calls, an error of theirs."""
    from kiteconnect import exceptions as refused
    from requests import RequestException

    if isinstance(error, refused.TokenException | refused.InputException | refused.PermissionException):
        return False
    return isinstance(error, refused.KiteException | RequestException)


def _problem(error: Exception, what: str) -> Exception:
    """The one line a person reads; secrets are out of it."""
    from kiteconnect import exceptions as refused
    from requests import RequestException

    said = " ".join(without_secrets(str(error)).split())[:200]
    if isinstance(error, refused.TokenException):
        return LoggedOut(f"Kite refuses the token of today ({said}); run: tradesage login")
    if isinstance(error, refused.InputException | refused.PermissionException):
        return BadInput(f"Kite does not take the request for {what}: {said}; correct symbols, interval or dates")
    if isinstance(error, refused.KiteException) and error.code == 429:
        return ServiceUnavailable(
            f"Kite refuses {what} for too many calls after {ATTEMPTS} attempts; see what else calls with this API key"
        )
    if isinstance(error, refused.KiteException | RequestException):
        return ServiceUnavailable(f"Kite does not give {what} after {ATTEMPTS} attempts ({said}); collect again later")
    return error


def _kind(row: Mapping[str, Any]) -> Kind:
    segment, kind = str(row.get("segment", "")), str(row.get("instrument_type", ""))
    if kind in ("CE", "PE"):
        return Kind.OPTION
    if kind == "FUT":
        return Kind.FUTURE
    return Kind.INDEX if segment == "INDICES" else kind_of(canonical(str(row["tradingsymbol"])))


def _bars(symbol: str, candles: list[dict[str, Any]], minutes: int, origin: str) -> pd.DataFrame:
    """Candles in the columns of raw bars, with open interest where Kite tells it."""
    frame = pd.DataFrame(candles, columns=["date", *PRICE_COLUMNS, "volume", *(["oi"] if _tells_oi(candles) else [])])
    stamps = pd.to_datetime(frame["date"], utc=True).dt.tz_convert(IST).astype(TIME_DTYPE)
    hours = {day: _hours(day) for day in stamps.dt.date.unique()}
    ends = stamps.dt.date.map({day: end for day, (_, end) in hours.items()}).astype(TIME_DTYPE)
    if minutes:
        closes = stamps + pd.Timedelta(minutes=minutes)
        frame["open_time"] = stamps
        frame["close_time"] = closes.where((stamps >= ends) | (closes <= ends), ends)
    else:
        frame["open_time"] = stamps.dt.date.map({day: start for day, (start, _) in hours.items()}).astype(TIME_DTYPE)
        frame["close_time"] = ends
    frame["symbol"], frame["source"], frame["source_row"] = symbol, f"kite {origin}", range(1, len(frame) + 1)
    bars = typed(frame, "bars")
    return bars.assign(oi=frame["oi"].astype("int64")) if "oi" in frame else bars


def _tells_oi(candles: list[dict[str, Any]]) -> bool:
    return bool(candles) and all("oi" in candle for candle in candles)


def _hours(day: date) -> tuple[datetime, datetime]:
    """When trading begins and ends, as far as the calendar can tell."""
    opened, _, ended = hours_of_bars(day)
    return opened, ended


def _settled(bars: pd.DataFrame, minutes: int, now: datetime) -> pd.Series:
    """Rows that will not grow any more."""
    if minutes:
        return bars["close_time"] <= now
    today = now.astimezone(IST)
    ended = today.date() if today.time() >= DAY_SETTLED else today.date() - timedelta(days=1)
    return bars["close_time"].dt.date <= ended


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()
