import csv
from datetime import date
from decimal import Decimal

import pytest

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind, OptionType, derivative_from_dump
from tests.conftest import SHARED_DATA

DUMP = SHARED_DATA / "kite" / "instruments" / "nfo_instruments_subset.csv"
CALL = {
    "instrument_token": "12345090",
    "exchange_token": "48223",
    "tradingsymbol": "NIFTY26NOV26000CE",
    "name": "NIFTY",
    "last_price": "0.0",
    "expiry": "2026-11-24",
    "strike": "26000.0",
    "tick_size": "0.05",
    "lot_size": "65",
    "instrument_type": "CE",
    "segment": "NFO-OPT",
    "exchange": "NFO",
}


def test_an_option_is_read_from_a_row_of_kites_dump():
    option = derivative_from_dump(CALL)

    assert (option.kind, option.option_type, option.strike) == (Kind.OPTION, OptionType.CALL, Decimal(26000))
    assert (option.expiry, option.lot_size, option.exchange) == (date(2026, 11, 24), 65, "NFO")
    assert (option.underlying_symbol, option.on_index, option.tradable) == ("NIFTY 50", True, True)


@pytest.mark.parametrize(
    ("option_type", "level", "worth"), [("CE", 26100, 100), ("CE", 25900, 0), ("PE", 25900, 100), ("PE", 26100, 0)]
)
def test_an_option_is_worth_what_its_exercise_gains(option_type, level, worth):
    assert derivative_from_dump(CALL | {"instrument_type": option_type}).intrinsic(Decimal(level)) == worth


@pytest.mark.parametrize("spoilt", [{"segment": "NSE"}, {"strike": "high"}, {"expiry": ""}, {"instrument_type": "XX"}])
def test_a_row_that_is_no_derivative_is_refused_by_its_name(spoilt):
    with pytest.raises(BadInput, match="NIFTY26NOV26000CE"):
        derivative_from_dump(CALL | spoilt)


@pytest.mark.skipif(not DUMP.exists(), reason="recorded Kite samples are not here")
def test_every_row_of_the_recorded_dump_is_read():
    with DUMP.open(encoding="utf-8", newline="") as file:
        found = [derivative_from_dump(row) for row in csv.DictReader(file)]

    assert len(found) == 2851
    assert {instrument.token & 0xFF for instrument in found} == {2}
    assert {instrument.underlying for instrument in found} == {"NIFTY", "BANKNIFTY", "RELIANCE", "HDFCBANK"}
