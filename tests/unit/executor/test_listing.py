"""The broker's own tokens, ticks and lots take the place of what files could not know."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipelines.domain.errors import NotFound
from pipelines.domain.instruments import Instrument, Kind
from serving.executor.kite_client import client
from serving.executor.listing import as_listed
from tests.conftest import SHARED_DATA

TCS = Instrument("TCS", 77, Kind.STOCK, Decimal("0.05"), 1, "IT", True)
NIFTY = Instrument("NIFTY MADE UP", 9, Kind.INDEX, Decimal("0.05"), 1, "", False)
DUMP = SHARED_DATA / "kite" / "mocks" / "instruments_nse.csv"


def a_row(**changes) -> dict:
    row = {"exchange": "NSE", "tradingsymbol": "TCS", "instrument_token": 2953217, "tick_size": 0.1, "lot_size": 1}
    return row | changes


def test_a_stock_gets_the_brokers_token_and_tick():
    listed = as_listed([TCS, NIFTY], [a_row(exchange="BSE", instrument_token=1), a_row()])

    assert listed == [replace(TCS, token=2953217, tick_size=Decimal("0.1")), NIFTY]


def test_a_symbol_that_the_broker_does_not_list_is_not_traded_under_another_ones_token():
    with pytest.raises(NotFound, match="does not list TCS"):
        as_listed([TCS], [a_row(exchange="BSE")])


@pytest.mark.skipif(not DUMP.exists(), reason="the recorded answers are not on this machine")
def test_rows_of_the_recorded_dump_are_understood():
    rows = client("key", "http://127.0.0.1:1")._parse_instruments(DUMP.read_bytes())
    stock = next(row for row in rows if row["exchange"] == "NSE" and row["instrument_type"] == "EQ")

    listed = as_listed([replace(TCS, symbol=stock["tradingsymbol"])], rows)

    assert (listed[0].token, listed[0].tick_size) == (stock["instrument_token"], Decimal(str(stock["tick_size"])))
