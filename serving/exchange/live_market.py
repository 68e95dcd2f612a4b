"""A live feed as a market: packets of the official ticker become frames, with their own time.

Packets are snapshots: what a packet's running volume has grown by is what has traded since the one before. Nothing is
known between two packets, so every tick is a jump. Time is the packets', as far as more than one tells it; a session
that falls silent is closed some minutes after its end by the wall clock. The day's open and its volume are the source's
own: those of the pre-open auction are in them.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadParams
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import KNOWN_FROM, KNOWN_TO, Session, sessions_between
from serving.exchange.market import Best, Frame, FrameKind, SessionDay, Tick
from serving.exchange.tick_tape import ANYWHERE, MINUTE
from serving.last_trades import LastTrades
from serving.packet_time import PacketTime
from serving.price_doubt import PriceDoubt

LOG = logging.getLogger("tradesage.exchange")
AHEAD = timedelta(days=30)  #: sessions that are known from the start
STALE = timedelta(seconds=5)  #: a packet so far behind the newest is old news
MOST_JUMP = 0.1  #: a price further from the close, or from the last one, is mirrored when four packets in a row tell it
SILENT_CLOSE = timedelta(minutes=2)  #: of the wall clock after a session's end, without any packet


def sessions_ahead(now: datetime) -> list[SessionDay]:
    """Sessions of the calendar from a moment on that are not over yet.

    Raises
    ------
    BadParams : if the calendar knows none: nothing is played on a guess.
    """
    found = [session for session in sessions_between(now.date(), now.date() + AHEAD) if session.end > now]
    if not found:
        raise BadParams(
            f"the market calendar knows no session within {AHEAD.days} days of {now:%Y-%m-%d}, it covers "
            f"{KNOWN_FROM} to {KNOWN_TO}; add the year's holidays to pipelines/domain/facts, then start again"
        )
    return [as_played(session) for session in found]


def as_played(session: Session) -> SessionDay:
    return SessionDay(session.day, session.open, session.end)


class LiveMarket:
    """A market of packets as they come; filled by the ticker's thread, played by the exchange.

    Parameters
    ----------
    instruments : Sequence of Instrument
        What is mirrored; their tokens are the source's.
    days : Sequence of SessionDay, in time
    time : judges the packets' stamps; without it each is believed
    closes : rupees by token, the previous closes as the source's quotes tell them; they doubt the first packets
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        days: Sequence[SessionDay],
        time: PacketTime | None = None,
        closes: Mapping[int, float] | None = None,
    ):
        self.days = list(days)
        self.left_out = 0  #: packets that were older than what was known
        self._instruments = {instrument.token: instrument for instrument in instruments}
        self._frames: deque[Frame] = deque()
        self._lock = threading.Lock()
        self._place = 0  # of the present day
        self._opened = False
        self._at: datetime | None = None  # of the last frame
        self._time = time
        self._trades, self._prices = LastTrades(), PriceDoubt(MOST_JUMP, MOST_JUMP, closes)
        self._totals: dict[int, int] = {}  # of each token's day, while somebody listens

    @property
    def waiting(self) -> bool:
        """Whether a frame is there to be played."""
        return bool(self._frames)

    def next_frame(self) -> Frame:
        return self._frames.popleft()

    # the feed's side

    def take(self, packets: Iterable[Mapping[str, Any]]) -> None:
        """One message of the ticker, in full mode, as the official client parses it."""
        with self._lock:
            stamped = [(moment, packet) for packet in packets if (moment := _stamp(packet)) is not None]
            told = self._told([(packet["instrument_token"], moment) for moment, packet in stamped])
            if told is None:
                return
            fresh = [one for one in stamped if self._at is None or one[0] >= self._at - STALE]
            self.left_out += len(stamped) - len(fresh)
            if not fresh:
                return
            at = told if self._at is None else max(told, self._at)
            if not self._reach(at):
                return
            ticks = [tick for _, packet in fresh if (tick := self._tick(packet, at)) is not None]
            if ticks and at < self._session.close:
                self._put(FrameKind.TICKS, at, tuple(ticks))

    def _told(self, stamps: Sequence[tuple[int, datetime]]) -> datetime | None:
        """The time of a message; None if it has none, or none can be believed yet and none was."""
        if self._time is None or not stamps:
            return max((moment for _, moment in stamps), default=None)
        second = self._time.judge([(token, int(moment.timestamp())) for token, moment in stamps])
        return self._time.last if second is None else datetime.fromtimestamp(second, IST)

    def reconnected(self) -> None:
        """What was traded while nobody listened is not there for our orders."""
        with self._lock:
            self._totals.clear()

    def close_if_over(self, now: datetime) -> None:
        """Ends a session that has gone silent, at the wall clock's `now`."""
        with self._lock:
            today = now.date() == self._session.day  # another instance of ours may play another day
            if self._opened and today and now >= self._session.close + SILENT_CLOSE:
                self._close()

    @property
    def _session(self) -> SessionDay:
        return self.days[self._place]

    def _reach(self, at: datetime) -> bool:
        """Put the clock's frames up to a moment; whether the market is open then."""
        if self._opened and at.date() > self._session.day:
            self._close()
        while not self._opened and self._place < len(self.days) - 1 and at.date() > self._session.day:
            self._place += 1
        if not self._opened:
            if not self._session.open <= at < self._session.close:
                return False
            self._opened = True
            self._put(FrameKind.OPENING, max(self._session.open, at.replace(second=0, microsecond=0)))
        assert self._at is not None
        minute = self._at.replace(second=0, microsecond=0) + MINUTE
        while minute <= min(at, self._session.close - MINUTE):
            self._put(FrameKind.BOUNDARY, minute)
            minute += MINUTE
        if at >= self._session.close:
            self._close()
            return False
        return True

    def _close(self) -> None:
        last = self._place == len(self.days) - 1
        self._put(FrameKind.CLOSING, self._session.close)
        if last:
            self._put(FrameKind.POST_CLOSE, self._session.close)
        self._opened, self._totals = False, {}
        self._prices.begin_anew()
        self._place = min(self._place + 1, len(self.days) - 1)

    def _put(self, kind: FrameKind, at: datetime, ticks: tuple[Tick, ...] = ()) -> None:
        self._at = at
        self._frames.append(Frame(kind, at, ticks))

    def _tick(self, packet: Mapping[str, Any], at: datetime) -> Tick | None:
        """What has traded since the packet before; None if nothing, or if this one came too late."""
        instrument = self._instruments.get(packet["instrument_token"])
        if instrument is None:
            return None
        traded, total = packet.get("last_trade_time"), int(packet.get("volume_traded") or 0)
        price = Decimal(str(packet["last_price"]))
        second = int((_in_india(traded) if traded is not None else at).timestamp())
        trade = self._trades.take(instrument.token, second, total, int(price * 100), int(at.timestamp()))
        if trade is None:
            return None
        before, self._totals[instrument.token] = self._totals.get(instrument.token), trade.volume
        if total < trade.volume:
            self.left_out += 1
            return None
        ohlc = packet.get("ohlc") or {}
        if not self._prices.believes(instrument.token, float(price), float(ohlc.get("close") or 0.0)):
            self.left_out += 1
            return None
        shares = trade.volume - before if before is not None else int(packet.get("last_traded_quantity") or 0)
        opened = ohlc.get("open")
        return Tick(
            instrument,
            price,
            max(shares, 0) if instrument.has_volume else 0,
            *ANYWHERE,
            best=_best(packet),
            day_open=Decimal(str(opened)) if opened else None,
            day_volume=trade.volume,
        )


class Mirror:
    """The official ticker in its own thread, feeding a live market; it reconnects by itself.

    Parameters
    ----------
    market : LiveMarket
    root : WebSocket address, ws:// or wss://
    tokens : what is subscribed, in full mode
    """

    def __init__(self, market: LiveMarket, root: str, api_key: str, access_token: str, tokens: Sequence[int]):
        self._market, self._tokens = market, list(tokens)
        self._parts = (api_key, access_token, root)
        self._ticker: Any = None

    def start(self) -> None:
        from kiteconnect import KiteTicker

        api_key, access_token, root = self._parts
        ticker = KiteTicker(api_key, access_token, root=root, reconnect_max_delay=5, reconnect_max_tries=300)
        ticker.on_connect = self._on_connect
        ticker.on_ticks = lambda _, packets: self._market.take(packets)
        ticker.on_close = lambda _, code, reason: LOG.warning("the source's ticker is gone: %s %s", code, reason)
        ticker.on_error = lambda _, code, reason: LOG.warning("the source's ticker: %s %s", code, reason)
        self._ticker = ticker
        ticker.connect(threaded=True)

    def _on_connect(self, ticker: Any, _: Any) -> None:
        LOG.info("mirroring %d instruments", len(self._tokens))
        self._market.reconnected()
        ticker.subscribe(self._tokens)
        ticker.set_mode(ticker.MODE_FULL, self._tokens)


def _stamp(packet: Mapping[str, Any]) -> datetime | None:
    moment = packet.get("exchange_timestamp")
    return _in_india(moment) if moment is not None else None


def _in_india(moment: datetime) -> datetime:
    """The official client gives times without a zone, in that of this machine."""
    return moment.astimezone(IST)


def _best(packet: Mapping[str, Any]) -> Best | None:
    """The first level of a packet's depth, where both sides are there."""
    depth = packet.get("depth") or {}
    levels = [side[0] for name in ("buy", "sell") if (side := depth.get(name)) and side[0]["price"]]
    if len(levels) < 2:
        return None
    (bid, bids), (offer, offers) = ((Decimal(str(level["price"])), int(level["quantity"])) for level in levels)
    return Best(bid, bids, offer, offers) if bid <= offer else None
