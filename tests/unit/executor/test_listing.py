"""The broker's own tokens, ticks and lots take the place of what files could not know."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from pipelines.domain.errors import NotFound
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import Product
from serving.executor.kite_client import client
from serving.executor.listing import as_listed, listing_of
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


TODAY = date(2026, 10, 30)
INFY = replace(TCS, symbol="INFY", token=78)


def symbols(instruments) -> list[str]:
    return [instrument.symbol for instrument in instruments]


def test_one_share_that_is_not_listed_stops_none_of_the_others():
    listing = listing_of([TCS, INFY, NIFTY], [a_row()], TODAY)

    assert symbols(listing.traded) == ["TCS", "NIFTY MADE UP"]
    assert "does not list" in listing.left_out["INFY"]
    assert symbols(as_listed([TCS, INFY], [a_row()])) == ["TCS"]


@pytest.mark.parametrize(("ours", "theirs"), [("ZOMATO", "ETERNAL"), ("ETERNAL", "ZOMATO"), ("INFOSYSTCH", "INFY")])
def test_a_share_that_bears_another_symbol_today_is_followed(ours, theirs):
    share = replace(TCS, symbol=ours)

    listing = listing_of([share], [a_row(tradingsymbol=theirs, instrument_token=5)], TODAY)

    assert listing.traded == (replace(share, token=5, tick_size=Decimal("0.1")),)
    assert (listing.names, listing.left_out) == ({ours: theirs}, {})


def test_after_a_change_the_old_symbol_is_not_taken_for_the_share():
    rows = [a_row(tradingsymbol="ZOMATO", instrument_token=4), a_row(tradingsymbol="ETERNAL", instrument_token=5)]
    share = replace(TCS, symbol="ZOMATO")

    after, before = listing_of([share], rows, TODAY), listing_of([share], rows, date(2025, 4, 8))

    assert (after.traded[0].token, before.traded[0].token) == (5, 4)


@pytest.mark.parametrize("series", ["BE", "BZ"])
def test_a_share_in_a_trade_for_trade_series_is_not_entered(series):
    rows = [a_row(), a_row(tradingsymbol=f"INFY-{series}", instrument_token=9)]

    listing = listing_of([TCS, INFY], rows, TODAY)

    assert symbols(listing.instruments) == ["TCS"]
    assert f"INFY-{series}" in listing.left_out["INFY"]


def test_delivery_of_a_trade_for_trade_share_can_be_left_and_intraday_cannot():
    rows = [a_row(), a_row(tradingsymbol="INFY-BE", instrument_token=9)]

    delivery = listing_of([TCS, INFY], rows, TODAY, {"INFY"}, Product.CNC)
    intraday = listing_of([TCS, INFY], rows, TODAY, {"INFY"}, Product.MIS)

    assert [(item.symbol, item.token) for item in delivery.only_left] == [("INFY", 9)]
    assert (delivery.names, delivery.out_of_reach) == ({"INFY": "INFY-BE"}, {})
    assert "INFY" in intraday.out_of_reach


def test_what_is_held_and_not_listed_is_out_of_reach_and_keeps_its_instrument():
    listing = listing_of([TCS, INFY], [a_row()], TODAY, {"INFY"})

    assert symbols(listing.only_left) == ["INFY"]
    assert set(listing.out_of_reach) == {"INFY"}


def test_what_is_held_and_not_in_the_run_any_more_is_managed_and_not_entered():
    listing = listing_of([TCS], [a_row(), a_row(tradingsymbol="WIPRO", instrument_token=7)], TODAY, {"WIPRO"})

    assert [(item.symbol, item.token) for item in listing.only_left] == [("WIPRO", 7)]
    assert (symbols(listing.traded), listing.out_of_reach) == (["TCS"], {})


def test_a_position_under_an_older_symbol_keeps_it_until_it_is_left():
    share = replace(TCS, symbol="ETERNAL")

    listing = listing_of([share], [a_row(tradingsymbol="ETERNAL", instrument_token=5)], TODAY, {"ZOMATO"})

    assert [(item.symbol, item.token) for item in listing.traded] == [("ZOMATO", 5)]
    assert listing.names == {"ZOMATO": "ETERNAL"}
