"""What is traded, and what is only looked at."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum

#: Columns of `instruments.parquet`, written by `ingest`; tick_size is text so that it stays exact.
INSTRUMENT_COLUMNS = ("symbol", "token", "kind", "tick_size", "lot_size", "sector", "has_volume")


class Kind(StrEnum):
    STOCK = "stock"
    INDEX = "index"  #: context for features, clock for the executor, never traded


@dataclass(frozen=True, slots=True)
class Instrument:
    symbol: str  #: NSE trading symbol, e.g. RELIANCE
    token: int  #: Kite's instrument token; its low byte is the segment (1 = NSE, 9 = indices)
    kind: Kind
    tick_size: Decimal  #: rupees
    lot_size: int  #: shares, 1 in the cash segment
    sector: str  #: empty where unknown
    has_volume: bool  #: False where the source carries no volume: then fills know no participation cap

    @property
    def tradable(self) -> bool:
        return self.kind is Kind.STOCK

    def to_tick(self, price: Decimal | float, rounding: str = ROUND_HALF_UP) -> Decimal:
        """The price on the instrument's grid; pass ROUND_FLOOR or ROUND_CEILING to lean to one side."""
        ticks = (Decimal(str(price)) / self.tick_size).to_integral_value(rounding=rounding)
        return ticks * self.tick_size

    def floor_to_tick(self, price: Decimal | float) -> Decimal:
        return self.to_tick(price, ROUND_FLOOR)

    def ceil_to_tick(self, price: Decimal | float) -> Decimal:
        return self.to_tick(price, ROUND_CEILING)
