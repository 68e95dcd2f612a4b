"""Kite's binary ticks, big-endian: a frame is a packet count, then each packet with its length before it.

Prices travel as whole paise. A packet's length says what it is: 8 ltp; 44 quote and 184 full of a stock; 28 quote and
32 full of an index, whose open, high, low, close stand in another order than a stock's. A frame of one byte is a
heartbeat. Layout as read in pykiteconnect 5.2 and gokiteconnect, checked against the packets they publish.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

HEARTBEAT = b"\x00"
DEPTH_LEVELS = 5
_UINT32_MAX = 2**32 - 1


class Mode(StrEnum):
    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Level:
    """One price of the market depth."""

    price: Decimal
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of one instrument at one moment; rupees (points for an index) and shares."""

    token: int
    last_price: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal  #: of the day before
    timestamp: datetime
    last_quantity: int = 0
    average_price: Decimal = Decimal(0)
    volume: int = 0
    buy_quantity: int = 0
    sell_quantity: int = 0
    last_trade_time: datetime | None = None
    bids: Sequence[Level] = field(default=())
    asks: Sequence[Level] = field(default=())
    oi: int = 0  #: open interest of a future or option; 0 where it is not known
    oi_day_high: int = 0
    oi_day_low: int = 0


def stock_packet(snapshot: Snapshot, mode: Mode) -> bytes:
    """Body of a tradable instrument's packet: 8, 44 or 184 bytes."""
    head = struct.pack(">II", snapshot.token, _paise(snapshot.last_price))
    if mode is Mode.LTP:
        return head
    quote = head + struct.pack(
        ">9I",
        _uint32(snapshot.last_quantity),
        _paise(snapshot.average_price),
        _uint32(snapshot.volume),
        _uint32(snapshot.buy_quantity),
        _uint32(snapshot.sell_quantity),
        _paise(snapshot.open),
        _paise(snapshot.high),
        _paise(snapshot.low),
        _paise(snapshot.close),
    )
    if mode is Mode.QUOTE:
        return quote
    traded = _epoch(snapshot.last_trade_time) if snapshot.last_trade_time else 0
    open_interest = (_uint32(snapshot.oi), _uint32(snapshot.oi_day_high), _uint32(snapshot.oi_day_low))
    times = struct.pack(">5I", traded, *open_interest, _epoch(snapshot.timestamp))
    return quote + times + _side(snapshot.bids) + _side(snapshot.asks)


def index_packet(snapshot: Snapshot, mode: Mode) -> bytes:
    """Body of an index's packet: 8, 28 or 32 bytes; only the full one carries the exchange's time."""
    head = struct.pack(">II", snapshot.token, _paise(snapshot.last_price))
    if mode is Mode.LTP:
        return head
    prices = (snapshot.high, snapshot.low, snapshot.open, snapshot.close)
    change = _signed_paise(snapshot.last_price - snapshot.close)
    quote = head + struct.pack(">4Ii", *(_paise(price) for price in prices), change)
    return quote if mode is Mode.QUOTE else quote + struct.pack(">I", _epoch(snapshot.timestamp))


def frame(packets: Iterable[bytes]) -> bytes:
    bodies = list(packets)
    return struct.pack(">H", len(bodies)) + b"".join(struct.pack(">H", len(body)) + body for body in bodies)


def _side(levels: Sequence[Level]) -> bytes:
    filled = [struct.pack(">IIHxx", _uint32(level.quantity), _paise(level.price), level.orders) for level in levels]
    return b"".join(filled[:DEPTH_LEVELS]) + b"\x00" * 12 * (DEPTH_LEVELS - len(filled))


def _signed_paise(price: Decimal) -> int:
    return int((price * 100).to_integral_value(rounding=ROUND_HALF_UP))


def _paise(price: Decimal) -> int:
    return _uint32(_signed_paise(price))


def _uint32(number: int) -> int:
    return min(max(number, 0), _UINT32_MAX)


def _epoch(moment: datetime) -> int:
    return _uint32(int(moment.timestamp()))
