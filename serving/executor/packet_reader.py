"""The ticker's binary messages, read for what a trader needs of them: who traded, at what price, how much, when.

The official client reads every field of every packet, depth included, which was three quarters of the way from a
message to its bars. Here a few numbers a packet are read where they stand; the client's own reading is the oracle of
the tests. Layout: see `serving.exchange.packets`. What time a message tells is judged by `serving.packet_time`, what a
packet tells of its trade by `serving.last_trades`.
"""

import struct
from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from pipelines.domain.bars import IST
from serving.executor.bar_builder import Tick
from serving.executor.desk import Frame
from serving.last_trades import LastTrades
from serving.packet_time import PacketTime
from serving.price_doubt import PriceDoubt, SteadyNumber

CLOCK_TOKEN = 256265  #: Kite's token of NIFTY 50; its packets carry the market's time and tell how far it moved
FULL_STOCK, FULL_INDEX = 184, 32  #: bytes; shorter packets carry no time and are passed over
CURRENCY, CURRENCY_BSE = 3, 6  #: segments (low byte of a token) whose prices have more decimals
_DIVISORS = {CURRENCY: 10_000_000.0, CURRENCY_BSE: 10_000.0}
_MOST_MOMENTS = 10_000
LATE_S = 5  #: a message further behind the last time is played only if it tells new trades, an index's level not at all
#: An index further from its close in the first packet, or from its level in the one before, as a share, is doubted
_INDEX_GAP, _INDEX_JUMP = 0.10, 0.03

_LENGTH = struct.Struct(">H")
_TOKEN_PRICE = struct.Struct(">II")
_WORD = struct.Struct(">I")
_OPEN, _CLOSE = 28, 40  #: where the day's open and the previous close stand in a stock's packet
_INDEX_CLOSE = 20  #: where the previous close stands in an index's


class _Packet(NamedTuple):
    place: int
    token: int
    price: int
    stamp: int
    traded: int  #: the last trade's second; 0 of an index, or where there was none
    is_stock: bool


class PacketReader:
    """Reads the messages of one feed; remembers what each instrument told last.

    Parameters
    ----------
    symbols : by instrument token, of what is traded, and of the indices whose levels are wanted
    time : judges the stamps; without it the newest stamp of a message is its time
    """

    def __init__(self, symbols: Mapping[int, str], time: PacketTime | None = None):
        self._symbols, self._time = dict(symbols), time
        self._trades = LastTrades()
        self._levels, self._closes = PriceDoubt(_INDEX_GAP, _INDEX_JUMP), SteadyNumber()
        self._moments: dict[int, datetime] = {}
        self._day: date | None = None
        self.heard: frozenset[int] = frozenset()  #: tokens of the packets in the last message

    def read(self, message: bytes) -> Frame | None:
        """The market's time and the new trades of a message; None if no packet of it carries a time.

        A packet that repeats the last trade, or tells of one before it, is none. A trade is stamped with its own time,
        or with the message's where that is earlier. A message that is cut off is read as far as its packets are whole.
        """
        packets = _packets(message)
        self.heard = frozenset(packet.token for packet in packets)
        if not packets:
            return None
        newest = self._newest(packets)
        last = self._time.last_second if self._time is not None else None
        if newest is None and last is None:
            return None
        now = max(second for second in (newest, last) if second is not None)
        self._turn_day(self._moment(now).date())
        ticks, levels, doubtful, index_move = [], [], [], None
        for packet in packets:
            if packet.is_stock:
                ticks += self._tick(message, packet, now)
                continue
            close = _index_close(message, packet)
            if not self._is_of_now(packet, now) or not self._levels.believes(packet.token, packet.price, close):
                doubtful += self._level(packet, now)
                continue
            index_move = self._index_move(packet, close) if index_move is None else index_move
            levels += self._level(packet, now)
        is_news = bool(doubtful) or any(tick.at.timestamp() >= now - LATE_S for tick in ticks)
        at = now if is_news or newest is None else newest
        return Frame(self._moment(at), tuple(ticks), index_move, tuple(levels), tuple(doubtful))

    def _turn_day(self, day: date) -> None:
        """On another day the indices have another previous close, and begin near their last level."""
        if self._day is not None and day != self._day:
            self._closes.begin_anew()
            self._levels.begin_anew()
        self._day = day

    def _newest(self, packets: list[_Packet]) -> int | None:
        """The message's time. A packet that is stamped before its own trade is not newer than told, but not older."""
        told = [(packet.token, stamp) for packet in packets for stamp in {packet.stamp, packet.traded} if stamp]
        if self._time is not None:
            return self._time.judge(told)
        return max((stamp for packet in packets if (stamp := packet.stamp or packet.traded)), default=None)

    def _tick(self, message: bytes, packet: _Packet, now: int) -> list[Tick]:
        symbol = self._symbols.get(packet.token)
        if symbol is None:
            return []
        place, divisor = packet.place, _DIVISORS.get(packet.token & 0xFF, 100.0)
        volume = _WORD.unpack_from(message, place + 16)[0]
        sound = self._time is None or packet.traded <= packet.stamp
        stamp = packet.stamp if sound and self._is_of_now(packet, now) else now
        trade = self._trades.take(packet.token, packet.traded, volume, packet.price, stamp)
        if trade is None:
            return []
        return [
            Tick(
                symbol,
                packet.price / divisor,
                trade.volume,
                self._moment(trade.second),
                day_open=_WORD.unpack_from(message, place + _OPEN)[0] / divisor,
                previous_close=_WORD.unpack_from(message, place + _CLOSE)[0] / divisor,
                doubted_since=self._moment(trade.doubted_since) if trade.doubted_since is not None else None,
            )
        ]

    def _level(self, packet: _Packet, now: int) -> list[Tick]:
        """Where an index stands, if it is wanted; it has no trades, so every packet tells it."""
        symbol = self._symbols.get(packet.token)
        stamp = packet.stamp if self._is_of_now(packet, now) else now
        return [Tick(symbol, packet.price / 100.0, 0, self._moment(stamp))] if symbol is not None else []

    def _is_of_now(self, packet: _Packet, now: int) -> bool:
        """Whether a packet's own stamp can be true."""
        return bool(packet.stamp) and (self._time is None or packet.stamp <= now <= packet.stamp + LATE_S)

    def _index_move(self, packet: _Packet, told_close: int) -> float | None:
        """Change of the clock's index against its previous close, as a share; None of another one, or without a close.

        The close is the same all day: another one than before is believed when four packets tell it.
        """
        if packet.token != CLOCK_TOKEN:
            return None
        likely = told_close > 0 and abs(packet.price / told_close - 1) <= _INDEX_GAP
        close = self._closes.take(packet.token, told_close, likely=likely)
        return packet.price / close - 1 if close else None

    def _moment(self, epoch: int) -> datetime:
        """Most packets of a message bear the same few seconds."""
        moment = self._moments.get(epoch)
        if moment is None:
            if len(self._moments) >= _MOST_MOMENTS:
                self._moments.clear()
            moment = self._moments[epoch] = datetime.fromtimestamp(epoch, IST)
        return moment


def _index_close(message: bytes, packet: _Packet) -> int:
    return int(_WORD.unpack_from(message, packet.place + _INDEX_CLOSE)[0])


def _packets(message: bytes) -> list[_Packet]:
    """The packets of a message that carry a time, their own or that of a trade, and all levels of indices."""
    found = []
    for place, length in _places(message):
        if length not in (FULL_STOCK, FULL_INDEX):
            continue
        is_stock = length == FULL_STOCK
        token, price = _TOKEN_PRICE.unpack_from(message, place)
        stamp = _WORD.unpack_from(message, place + (60 if is_stock else 28))[0]
        traded = _WORD.unpack_from(message, place + 44)[0] if is_stock else 0
        if stamp or traded or not is_stock:
            found.append(_Packet(place, token, price, stamp, traded, is_stock))
    return found


def _places(message: bytes) -> list[tuple[int, int]]:
    """Where each packet of a message begins, and its length."""
    if len(message) < 4:
        return []  # a heartbeat
    found, place = [], 2
    for _ in range(_LENGTH.unpack_from(message)[0]):
        if place + 2 > len(message):
            break
        length = _LENGTH.unpack_from(message, place)[0]
        if place + 2 + length > len(message):
            break
        found.append((place + 2, length))
        place += 2 + length
    return found
