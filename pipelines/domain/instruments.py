"""What is traded, and what is only looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from enum import StrEnum

from pipelines.domain.errors import BadInput
from pipelines.domain.symbols import checked_symbol

#: Columns of `instruments.parquet`, written by `ingest`; tick_size is text so that it stays exact.
#: A table with futures and options has `DERIVATIVE_COLUMNS` beside them, empty for all others.
INSTRUMENT_COLUMNS = ("symbol", "token", "kind", "tick_size", "lot_size", "sector", "has_volume")
DERIVATIVE_COLUMNS = ("underlying", "expiry", "strike", "option_type")
#: Index symbols whose derivatives bear another name, as in Kite's dump
INDEX_OF = {
    "NIFTY": "NIFTY 50",
    "BANKNIFTY": "NIFTY BANK",
    "FINNIFTY": "NIFTY FIN SERVICE",
    "MIDCPNIFTY": "NIFTY MID SELECT",
    "NIFTYNXT50": "NIFTY NEXT 50",
}


class Kind(StrEnum):
    STOCK = "stock"
    INDEX = "index"  #: context for features, clock for the executor, never traded
    FUTURE = "future"
    OPTION = "option"


class OptionType(StrEnum):
    CALL = "CE"
    PUT = "PE"


@dataclass(frozen=True, slots=True)
class Instrument:
    symbol: str  #: NSE trading symbol, e.g. RELIANCE
    token: int  #: Kite's instrument token; its low byte is the segment (1 = NSE, 9 = indices)
    kind: Kind
    tick_size: Decimal  #: rupees
    lot_size: int  #: shares, 1 in the cash segment; orders are multiples of it
    sector: str  #: empty where unknown
    has_volume: bool  #: False where the source carries no volume: then fills know no participation cap
    underlying: str = ""  #: name of what a future or option is written on, e.g. NIFTY
    expiry: date | None = None  #: last day of a future or option
    strike: Decimal | None = None  #: rupees, of an option
    option_type: OptionType | None = None

    def __post_init__(self) -> None:
        """Raises BadInput if the symbol is none: it becomes a path, a key of the journal and an order."""
        checked_symbol(self.symbol, "instrument")

    @property
    def tradable(self) -> bool:
        return self.kind is not Kind.INDEX

    @property
    def derivative(self) -> bool:
        return self.kind in (Kind.FUTURE, Kind.OPTION)

    @property
    def exchange(self) -> str:
        """Kite's word for the segment: NFO for futures and options."""
        return "NFO" if self.derivative else "NSE"

    @property
    def underlying_symbol(self) -> str:
        """The NSE symbol that a future or option is settled by."""
        return INDEX_OF.get(self.underlying, self.underlying)

    @property
    def on_index(self) -> bool:
        return self.underlying in INDEX_OF

    def intrinsic(self, level: Decimal) -> Decimal:
        """What one unit of an option is worth by itself when the underlying stands at `level`, rupees."""
        assert self.strike is not None
        gain = level - self.strike if self.option_type is OptionType.CALL else self.strike - level
        return max(gain, Decimal(0))

    def to_tick(self, price: Decimal | float, rounding: str = ROUND_HALF_UP) -> Decimal:
        """The price on the instrument's grid; pass ROUND_FLOOR or ROUND_CEILING to lean to one side."""
        ticks = (Decimal(str(price)) / self.tick_size).to_integral_value(rounding=rounding)
        return ticks * self.tick_size

    def floor_to_tick(self, price: Decimal | float) -> Decimal:
        return self.to_tick(price, ROUND_FLOOR)

    def ceil_to_tick(self, price: Decimal | float) -> Decimal:
        return self.to_tick(price, ROUND_CEILING)


def derivative_from_dump(row: Mapping[str, str]) -> Instrument:
    """A future or option from a row of Kite's instrument dump (segments NFO-FUT and NFO-OPT).

    Raises
    ------
    BadInput : if the row is of another segment or a field of it cannot be read.
    """
    try:
        if row["segment"] not in ("NFO-FUT", "NFO-OPT"):
            raise ValueError(f"segment {row['segment']}")
        future = row["segment"] == "NFO-FUT"
        return Instrument(
            symbol=row["tradingsymbol"],
            token=int(row["instrument_token"]),
            kind=Kind.FUTURE if future else Kind.OPTION,
            tick_size=Decimal(row["tick_size"]),
            lot_size=int(row["lot_size"]),
            sector="",
            has_volume=True,
            underlying=row["name"],
            expiry=date.fromisoformat(row["expiry"]),
            strike=None if future else Decimal(row["strike"]),
            option_type=None if future else OptionType(row["instrument_type"]),
        )
    except (KeyError, ValueError, ArithmeticError) as error:
        raise BadInput(
            f"a row of Kite's dump is no future or option: {row.get('tradingsymbol', 'no tradingsymbol')} ({error}); "
            "pass rows of the segments NFO-FUT and NFO-OPT as Kite writes them"
        ) from None
