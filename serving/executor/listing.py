"""Instruments as the broker lists them today: bars from files know no tokens, and tick sizes change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pipelines.domain.errors import NotFound
from pipelines.domain.instruments import Instrument


def as_listed(instruments: Sequence[Instrument], dump: Iterable[Mapping[str, Any]]) -> list[Instrument]:
    """The instruments with token, tick and lot of the broker's dump; an index that it does not list stays as it is.

    Parameters
    ----------
    dump : rows of `KiteConnect.instruments`, one per instrument

    Raises
    ------
    NotFound : if what is to be traded is not listed: another instrument's token would be traded in its place.
    """
    rows = {(row["exchange"], row["tradingsymbol"]): row for row in dump}
    found = {
        instrument.symbol: row
        for instrument in instruments
        if (row := rows.get((instrument.exchange, instrument.symbol))) is not None
    }
    missing = [
        instrument.symbol for instrument in instruments if instrument.tradable and instrument.symbol not in found
    ]
    if missing:
        raise NotFound(
            f"the broker does not list {', '.join(missing)}; correct the symbols of your bars to NSE's trading "
            "symbols, or leave them out (ingest.symbols)"
        )
    return [
        _listed(instrument, found[instrument.symbol]) if instrument.symbol in found else instrument
        for instrument in instruments
    ]


def _listed(instrument: Instrument, row: Mapping[str, Any]) -> Instrument:
    tick = Decimal(str(row["tick_size"]))
    return replace(
        instrument,
        token=int(row["instrument_token"]),
        tick_size=tick if tick > 0 else instrument.tick_size,
        lot_size=int(row["lot_size"]) or instrument.lot_size,
    )
