"""Instruments as the broker lists them today: bars from files know no tokens, tick sizes change, and shares go away.

| the broker lists a share | what is done |
|---|---|
| under its symbol, or under one that it bore or bears (`facts/symbol_changes.csv`) | it is traded |
| in the series BE or BZ (`TCS-BE`): trade for trade, no intraday | nothing is entered; delivery that is held is left |
| not at all | nothing is entered; what is held is left to a person |

Inside, a share keeps the symbol of the run's data, or that of an open position of it; the broker's stands in
`KiteBroker.names`. What is held and not in the run's data any more is managed until it is left.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from pipelines.domain.errors import NotFound
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.listings import current_symbol, symbol_on
from pipelines.domain.orders import Product

TRADE_FOR_TRADE = ("BE", "BZ")  #: series in which each purchase is delivered: no intraday, no sale on the same day
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Listing:
    """What of a run's instruments can be traded today."""

    traded: tuple[Instrument, ...]  #: as listed, and the indices
    only_left: tuple[Instrument, ...] = ()  #: held, and left or managed, but never entered
    names: Mapping[str, str] = field(default_factory=dict)  #: the broker's symbol by ours, where they differ
    left_out: Mapping[str, str] = field(default_factory=dict)  #: why nothing is entered, by symbol
    out_of_reach: Mapping[str, str] = field(default_factory=dict)  #: of these why nothing at all can be sent

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return (*self.traded, *self.only_left)


def listing_of(
    instruments: Sequence[Instrument],
    dump: Iterable[Row],
    day: date | None = None,
    held: Collection[str] = (),
    product: Product = Product.MIS,
) -> Listing:
    """Hold a run's instruments, and what is held, against the broker's dump.

    Parameters
    ----------
    dump : rows of `KiteConnect.instruments`, one per instrument
    day : of the session
    held : symbols of open positions, as the journal calls them
    product : that is traded; delivery can be left in a trade-for-trade series, an intraday position cannot
    """
    known = _Dump(dump, day)
    traded, only_left, names, left_out, out_of_reach = [], [], {}, {}, {}
    called = called_as_held(instruments, held)
    unknown = [_unknown(symbol) for symbol in sorted(set(held) - {instrument.symbol for instrument in called})]
    for instrument in (*called, *unknown):
        symbol, row = instrument.symbol, known.find(instrument)
        series = row is None and known.trade_for_trade(instrument)
        if series:
            row = series
            left_out[symbol] = f"it is in a trade-for-trade series ({row['tradingsymbol']}), which knows no intraday"
        if row is None and not instrument.tradable:
            traded.append(instrument)
            continue
        if row is None:
            left_out[symbol] = "the broker does not list it: delisted, suspended, or its symbol has changed"
        elif instrument in unknown:
            left_out.setdefault(symbol, "it is not among this run's instruments")
        if row is not None:
            instrument = _listed(instrument, row)
            if row["tradingsymbol"] != symbol:
                names[symbol] = str(row["tradingsymbol"])
        if symbol not in left_out:
            traded.append(instrument)
        elif symbol in held:
            only_left.append(instrument)
            if row is None or (series and product is not Product.CNC):
                out_of_reach[symbol] = left_out[symbol]
    return Listing(tuple(traded), tuple(only_left), names, left_out, out_of_reach)


def as_listed(instruments: Sequence[Instrument], dump: Iterable[Row], day: date | None = None) -> list[Instrument]:
    """The instruments with token, tick and lot of the broker's dump, but those that are not traded today.

    An index that it does not list stays as it is.

    Raises
    ------
    NotFound : if none of what is to be traded is listed.
    """
    listing = listing_of(instruments, dump, day)
    must_list_some(listing)
    return list(listing.traded)


def must_list_some(listing: Listing) -> None:
    """Raises NotFound if nothing can be traded, and nothing is held that had to be looked after."""
    if not any(instrument.tradable for instrument in listing.instruments):
        raise NotFound(
            f"the broker does not list {', '.join(listing.left_out) or 'any instrument'}; correct the symbols of your "
            "bars to NSE's trading symbols, or leave them out (ingest.symbols)"
        )


def called_as_held(instruments: Sequence[Instrument], held: Collection[str]) -> list[Instrument]:
    """A share of which a position is open under a symbol that it bore before is called by that one till it is left."""
    names = {current_symbol(symbol): symbol for symbol in held}
    own = {instrument.symbol for instrument in instruments}
    found = []
    for instrument in instruments:
        name = names.get(current_symbol(instrument.symbol), instrument.symbol)
        found.append(replace(instrument, symbol=name) if name not in own else instrument)
    return found


class _Dump:
    """The broker's instruments, by symbol and by share."""

    def __init__(self, rows: Iterable[Row], day: date | None):
        self._day = day
        self._rows: dict[tuple[str, str], Row] = {}
        self._shares: dict[tuple[str, str], Row] = {}
        for row in rows:
            exchange, symbol = row["exchange"], row["tradingsymbol"]
            self._rows[exchange, symbol] = row
            self._shares.setdefault((exchange, current_symbol(symbol)), row)

    def find(self, instrument: Instrument) -> Row | None:
        """Under the symbol of the day, else under its own, else under any that the share ever had."""
        symbol, exchange = instrument.symbol, instrument.exchange
        if instrument.kind is not Kind.STOCK:
            return self._rows.get((exchange, symbol))
        todays = symbol_on(symbol, self._day) if self._day is not None else symbol
        for name in (todays, symbol):
            if (exchange, name) in self._rows:
                return self._rows[exchange, name]
        return self._shares.get((exchange, current_symbol(symbol)))

    def trade_for_trade(self, instrument: Instrument) -> Row | None:
        if instrument.kind is not Kind.STOCK:
            return None
        names = dict.fromkeys((instrument.symbol, current_symbol(instrument.symbol)))
        rows = (
            self._rows.get((instrument.exchange, f"{name}-{series}")) for name in names for series in TRADE_FOR_TRADE
        )
        return next((row for row in rows if row is not None), None)


def _unknown(symbol: str) -> Instrument:
    """A share of which only the symbol is known; its tick is the finest, until the broker lists it."""
    return Instrument(symbol, 0, Kind.STOCK, Decimal("0.05"), 1, "", True)


def _listed(instrument: Instrument, row: Row) -> Instrument:
    tick = Decimal(str(row["tick_size"]))
    return replace(
        instrument,
        token=int(row["instrument_token"]),
        tick_size=tick if tick > 0 else instrument.tick_size,
        lot_size=int(row["lot_size"]) or instrument.lot_size,
    )
