"""The ticker's binary messages, read for what a trader needs of them: who traded, at what price, how much, when.

The official client reads every field of every packet, depth included, which was three quarters of the way from a
message to its bars. Here a few numbers a packet are read where they stand; the client's own reading is the oracle of
the tests. Layout: see `serving.exchange.packets`.
"""

import struct
from collections.abc import Mapping
from datetime import datetime, timedelta

from pipelines.domain.bars import IST
from serving.executor.bar_builder import Tick
from serving.executor.desk import Frame

CLOCK_TOKEN = 256265  #: Kite's token of NIFTY 50; its packets carry the market's time and tell how far it moved
FULL_STOCK, FULL_INDEX = 184, 32  #: bytes; shorter packets carry no time and are passed over
CURRENCY, CURRENCY_BSE = 3, 6  #: segments (low byte of a token) whose prices have more decimals
_DIVISORS = {CURRENCY: 10_000_000.0, CURRENCY_BSE: 10_000.0}
_MOST_MOMENTS = 10_000
_DAY = 86_400
_INDIA = int(timedelta(hours=5, minutes=30).total_seconds())

_LENGTH = struct.Struct(">H")
_TOKEN_PRICE = struct.Struct(">II")
_WORD = struct.Struct(">I")


class PacketReader:
    """Reads the messages of one feed; remembers what each instrument told last.

    Parameters
    ----------
    symbols : by instrument token, of what is traded, and of the indices whose levels are wanted
    """

    def __init__(self, symbols: Mapping[int, str]):
        self._symbols = dict(symbols)
        self._told: dict[int, tuple[int, int, int]] = {}  # last trade's second, day's volume, price; by token
        self._moments: dict[int, datetime] = {}

    def read(self, message: bytes) -> Frame | None:
        """The market's time and the new trades of a message; None if no packet of it carries a time.

        A packet that repeats the last trade, or tells of one before it, is none. A trade is stamped with its own time,
        or with its packet's where that is earlier. A message that is cut off is read as far as its packets are whole.
        """
        latest, ticks, levels, index_move = 0, [], [], None
        for place, length in _packets(message):
            if length not in (FULL_STOCK, FULL_INDEX):
                continue
            stamp = _WORD.unpack_from(message, place + (60 if length == FULL_STOCK else 28))[0]
            if not stamp:
                continue
            latest = max(latest, stamp)
            if length == FULL_INDEX:
                index_move = _index_move(message, place) if index_move is None else index_move
                levels += self._level(message, place, stamp)
                continue
            tick = self._tick(message, place, stamp)
            if tick is not None:
                ticks.append(tick)
        return Frame(self._moment(latest), tuple(ticks), index_move, tuple(levels)) if latest else None

    def _tick(self, message: bytes, place: int, stamp: int) -> Tick | None:
        token, price = _TOKEN_PRICE.unpack_from(message, place)
        symbol = self._symbols.get(token)
        if symbol is None:
            return None
        volume, traded = _WORD.unpack_from(message, place + 16)[0], _WORD.unpack_from(message, place + 44)[0]
        told, before = (traded, volume, price), self._told.get(token)
        if not traded or (before is not None and (told == before or _is_older(told, before))):
            return None
        self._told[token] = told
        return Tick(symbol, price / _DIVISORS.get(token & 0xFF, 100.0), volume, self._moment(min(traded, stamp)))

    def _level(self, message: bytes, place: int, stamp: int) -> list[Tick]:
        """Where an index stands, if it is wanted; it has no trades, so every packet tells it."""
        token, level = _TOKEN_PRICE.unpack_from(message, place)
        symbol = self._symbols.get(token)
        return [Tick(symbol, level / 100.0, 0, self._moment(stamp))] if symbol is not None and level else []

    def _moment(self, epoch: int) -> datetime:
        """Most packets of a message bear the same few seconds."""
        moment = self._moments.get(epoch)
        if moment is None:
            if len(self._moments) >= _MOST_MOMENTS:
                self._moments.clear()
            moment = self._moments[epoch] = datetime.fromtimestamp(epoch, IST)
        return moment


def _is_older(told: tuple[int, int, int], before: tuple[int, int, int]) -> bool:
    """By the time of the trade; within a day also by the day's volume, which only grows."""
    if told[0] < before[0]:
        return True
    same_day = (told[0] + _INDIA) // _DAY == (before[0] + _INDIA) // _DAY
    return same_day and told[1] < before[1]


def _index_move(message: bytes, place: int) -> float | None:
    """Change of the clock's index against its previous close, as a share; None of another index or without a close."""
    token, price = _TOKEN_PRICE.unpack_from(message, place)
    close = _WORD.unpack_from(message, place + 20)[0]
    return price / close - 1 if token == CLOCK_TOKEN and price and close else None


def _packets(message: bytes) -> list[tuple[int, int]]:
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
