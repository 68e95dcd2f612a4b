"""What a fault makes of one packet: an older one, or one number of it wild and all others true."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pipelines.domain.bars import IST
from pipelines.domain.instruments import Instrument
from serving.exchange.faults import FaultKind, Injection
from serving.exchange.packets import Snapshot

WILD_FACTOR = 3  #: a price out of range is so many times the true one, or that part of it
#: Seconds by which a time is wrong where the fault does not say: a minute, an hour, a day either way, and its ends
WRONG_BY = (60.0, 3600.0, 86_400.0, -60.0, -3600.0, -86_400.0, float("inf"), float("-inf"))
#: Times the true volume of the day where the fault does not say more; none of it, and as much as a packet can tell
WRONG_VOLUMES = (0.0, 0.1, 10.0, 1_000.0, float("inf"))
_FIRST, _LAST = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC)


def spoilt_packet(instrument: Instrument, true: Snapshot, before: Snapshot, fault: Injection) -> Snapshot:
    """The packet that comes in place of the true one.

    Parameters
    ----------
    before : what was true before the last trade
    """
    match fault.kind:
        case FaultKind.TICK_STALE:
            return before
        case FaultKind.TICK_STAMP:
            return replace(true, timestamp=_wrong_time(true.timestamp, fault))
        case FaultKind.TICK_TRADE_TIME:
            return replace(true, last_trade_time=_wrong_time(true.last_trade_time or true.timestamp, fault))
        case FaultKind.TICK_VOLUME:
            return replace(true, volume=_wrong_volume(true.volume, fault.draw))
        case _:
            return replace(true, last_price=_wrong_price(instrument, true.last_price, fault.draw))


def _wrong_time(true: datetime, fault: Injection) -> datetime:
    by = fault.fault.seconds if fault.fault.seconds is not None else WRONG_BY[int(fault.draw * len(WRONG_BY))]
    if by in (float("inf"), float("-inf")):
        return (_LAST if by > 0 else _FIRST).astimezone(IST)
    return min(max(true + timedelta(seconds=by), _FIRST), _LAST).astimezone(IST)


def _wrong_volume(true: int, draw: float) -> int:
    times = WRONG_VOLUMES[int(draw * len(WRONG_VOLUMES))]
    return 2**32 - 1 if times == float("inf") else int(true * times)


def _wrong_price(instrument: Instrument, price: Decimal, draw: float) -> Decimal:
    return instrument.floor_to_tick(price * WILD_FACTOR if draw < 0.5 else price / WILD_FACTOR)
