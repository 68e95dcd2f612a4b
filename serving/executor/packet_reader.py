"""The ticker's binary messages, read for what a trader needs of them: who traded, at what price, how much, when.

The official client reads every field of every packet, depth included, which is three quarters of the way from a
message to its bars. Here five numbers a packet are read where they stand; the client's own reading is the oracle of
the tests. Layout: see `serving.exchange.packets`.
"""

import struct
from datetime import datetime

from pipelines.domain.bars import IST
from serving.executor.bar_builder import Tick

FULL_STOCK, FULL_INDEX = 184, 32  #: bytes; shorter packets carry no time and are passed over
CURRENCY, CURRENCY_BSE = 3, 6  #: segments (low byte of a token) whose prices have more decimals
_DIVISORS = {CURRENCY: 10_000_000.0, CURRENCY_BSE: 10_000.0}

_LENGTH = struct.Struct(">H")
_TOKEN_PRICE = struct.Struct(">II")
_WORD = struct.Struct(">I")


class PacketReader:
    """Reads messages of one connection; remembers of each instrument what it told last.

    Parameters
    ----------
    symbols : by instrument token, of what is traded
    """

    def __init__(self, symbols: dict[int, str]):
        self._symbols = dict(symbols)
        self._told: dict[int, tuple[int, int, int]] = {}  # last trade's time, day's volume, price, by token
        self._moments: dict[int, datetime] = {}

    def read(self, message: bytes) -> tuple[datetime, tuple[Tick, ...]] | None:
        """The market's time and the new trades of a message; None if no packet of it carries a time.

        A packet that only repeats the last trade is none. A trade is stamped with its own time, or with its packet's
        where that is earlier. What is cut off in the middle of a packet is read up to there.
        """
        latest, ticks = 0, []
        for place, length in _packets(message):
            if length not in (FULL_STOCK, FULL_INDEX):
                continue
            stamp = _WORD.unpack_from(message, place + (60 if length == FULL_STOCK else 28))[0]
            if not stamp:
                continue
            latest = max(latest, stamp)
            if length == FULL_STOCK:
                tick = self._tick(message, place, stamp)
                if tick is not None:
                    ticks.append(tick)
        return (self._moment(latest), tuple(ticks)) if latest else None

    def _tick(self, message: bytes, place: int, stamp: int) -> Tick | None:
        token, price = _TOKEN_PRICE.unpack_from(message, place)
        symbol = self._symbols.get(token)
        if symbol is None:
            return None
        volume, traded = _WORD.unpack_from(message, place + 16)[0], _WORD.unpack_from(message, place + 44)[0]
        told = (traded, volume, price)
        if not traded or self._told.get(token) == told:
            return None
        self._told[token] = told
        return Tick(symbol, price / _DIVISORS.get(token & 0xFF, 100.0), volume, self._moment(min(traded, stamp)))

    def _moment(self, epoch: int) -> datetime:
        """Most packets of a message bear the same few seconds."""
        moment = self._moments.get(epoch)
        if moment is None:
            if len(self._moments) > 10_000:
                self._moments.clear()
            moment = self._moments[epoch] = datetime.fromtimestamp(epoch, IST)
        return moment


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
