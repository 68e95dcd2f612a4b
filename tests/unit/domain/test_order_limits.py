"""Market protection, limit price protection and freeze quantities, from their dated tables."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from pipelines.domain.freeze import freeze_quantity
from pipelines.domain.instruments import Instrument, Kind, OptionType
from pipelines.domain.protection import automatic_percent, limit_price_range, protected_limit
from pipelines.domain.signals import Side

DAY = date(2026, 8, 3)
STOCK = Instrument("TATASTEEL", 895745, Kind.STOCK, Decimal("0.01"), 1, "", True)


def a_contract(kind: str, underlying="NIFTY", lot=75, strike="24400") -> Instrument:
    terms = {"symbol": f"{underlying}26AUG", "underlying": underlying, "tick_size": Decimal("0.05"), "lot_size": lot}
    option = {"strike": Decimal(strike), "option_type": OptionType.CALL} if kind == "option" else {}
    return replace(STOCK, kind=Kind(kind), expiry=date(2026, 8, 25), **terms, **option)


@pytest.mark.parametrize(
    ("instrument", "price", "percent"),
    [
        (STOCK, "99.99", "2"),
        (STOCK, "100", "1"),
        (STOCK, "500", "0.5"),
        (a_contract("future"), "24000", "0.5"),
        (a_contract("option"), "9.95", "5"),
        (a_contract("option"), "12.30", "3"),
        (a_contract("option"), "100", "2"),
        (a_contract("option"), "900", "1"),
    ],
)
def test_the_broker_chooses_a_wider_band_for_cheaper_instruments(instrument, price, percent):
    assert automatic_percent(instrument, Decimal(price), DAY) == Decimal(percent)
    assert automatic_percent(instrument, Decimal(price), date(2015, 1, 1)) == Decimal(percent)


def test_the_limit_is_the_last_tick_inside_of_the_band():
    assert protected_limit(STOCK, Side.BUY, Decimal("156.69"), Decimal(2)) == Decimal("159.82")  # as Kite sent it
    assert protected_limit(STOCK, Side.SELL, Decimal("156.69"), Decimal(2)) == Decimal("153.56")
    assert protected_limit(STOCK, Side.SELL, Decimal("0.05"), Decimal(100)) == Decimal("0.01")


def test_the_exchange_bounds_limits_of_derivatives_and_of_nothing_else():
    option, future = a_contract("option"), a_contract("future")

    assert limit_price_range(STOCK, Decimal(100), DAY) is None
    assert limit_price_range(option, Decimal(30), DAY) == (Decimal(10), Decimal(50))
    assert limit_price_range(option, Decimal(10), DAY) == (Decimal("0.05"), Decimal(30))
    assert limit_price_range(option, Decimal(75), DAY) == (Decimal(45), Decimal(105))
    assert limit_price_range(future, Decimal(20_000), DAY) == (Decimal(19_400), Decimal(20_600))
    assert limit_price_range(future, Decimal(20_000), date(2022, 1, 3)) is None


@pytest.mark.parametrize(
    ("instrument", "price", "day", "quantity"),
    [
        (STOCK, "156", DAY, 100_000),
        (STOCK, "2000", DAY, 50_000),
        (a_contract("option"), "100", DAY, 1_800),
        (a_contract("option", "BANKNIFTY", 30), "100", DAY, 600),
        (a_contract("option", "BANKNIFTY", 30), "100", date(2025, 9, 1), 900),
        (a_contract("option", "BANKNIFTY", 30), "100", date(2025, 11, 2), 900),
        (a_contract("option", "BANKNIFTY", 30), "100", date(2025, 11, 3), 600),
        (a_contract("option", "BANKNIFTY", 30), "100", date(2026, 4, 1), 900),
        (a_contract("option", "BANKNIFTY", 30), "100", date(2026, 7, 1), 600),
        (a_contract("option", "FINNIFTY", 60), "100", date(2026, 1, 30), 1_200),
        (a_contract("option", "FINNIFTY", 60), "100", date(2026, 2, 2), 1_800),
        (a_contract("option", "FINNIFTY", 60), "100", date(2026, 3, 2), 1_200),
        (a_contract("option", "FINNIFTY", 60), "100", date(2026, 4, 1), 1_800),
        (a_contract("option", "MIDCPNIFTY", 140), "100", DAY, 2_800),
        (a_contract("future", "NIFTYNXT50", 25), "70000", DAY, 600),
        (a_contract("future", "SBIN", 750), "800", DAY, 62_250),
        (a_contract("option", "SBIN", 750, strike="1000"), "12.50", DAY, 49_500),
    ],
)
def test_no_order_is_larger_than_its_freeze_quantity_in_whole_lots(instrument, price, day, quantity):
    assert freeze_quantity(instrument, Decimal(price), day) == quantity
