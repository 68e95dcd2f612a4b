from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.charges import Charges, order_charges, rates_on, round_trip_rate
from pipelines.domain.errors import BadInput
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side

NOW = date(2026, 10, 30)
LAKH = Decimal(100_000)


def round_trip(product: Product, value: Decimal, day: date = NOW) -> Charges:
    buy = order_charges(product=product, side=Side.BUY, value=value, day=day)
    return buy + order_charges(product=product, side=Side.SELL, value=value, day=day)


@pytest.mark.parametrize(
    ("product", "value", "expected"),
    [
        (Product.MIS, LAKH, "82.68"),
        (Product.CNC, LAKH, "222.48"),
        (Product.MIS, 5 * LAKH, "224.60"),  # 224.61 in one sum; each order's tax is rounded by itself
    ],
)
def test_round_trips_cost_what_the_published_rates_say(product, value, expected):
    assert round_trip(product, value).total == Decimal(expected)


def test_brokerage_is_capped_per_order():
    small = order_charges(product=Product.MIS, side=Side.BUY, value=Decimal(10_000), day=NOW)
    large = order_charges(product=Product.MIS, side=Side.BUY, value=Decimal(10_000_000), day=NOW)

    assert small.brokerage == Decimal("3.00")
    assert large.brokerage == Decimal("20.00")


def test_the_depository_is_paid_only_on_the_first_delivered_sale_of_the_day():
    def sale(product: Product, first: bool) -> Decimal:
        return order_charges(product=product, side=Side.SELL, value=LAKH, day=NOW, first_delivery_sale=first).dp

    assert sale(Product.CNC, first=True) == Decimal("15.34")
    assert sale(Product.CNC, first=False) == 0
    assert sale(Product.MIS, first=True) == 0


def test_rates_are_those_of_the_day():
    before = order_charges(product=Product.MIS, side=Side.SELL, value=LAKH, day=date(2026, 2, 28))
    after = order_charges(product=Product.MIS, side=Side.SELL, value=LAKH, day=date(2026, 3, 1))

    assert before.exchange == Decimal("2.97")
    assert after.exchange == Decimal("3.07")


def test_days_before_the_first_known_rates_get_the_first_rates():
    assert rates_on(Product.CNC, date(2012, 1, 2)) == rates_on(Product.CNC, date(2024, 10, 1))


def test_every_rate_names_its_source():
    assert all(rates_on(product, NOW).source for product in Product)


def test_nothing_filled_costs_nothing_and_a_negative_value_is_refused():
    assert order_charges(product=Product.CNC, side=Side.SELL, value=Decimal(0), day=NOW).total == 0
    with pytest.raises(BadInput, match="below zero"):
        order_charges(product=Product.CNC, side=Side.SELL, value=Decimal(-1), day=NOW)


@given(
    value=st.decimals(min_value=1, max_value=10**9, places=2),
    product=st.sampled_from(Product),
    side=st.sampled_from(Side),
    first=st.booleans(),
)
def test_every_item_is_whole_paise_and_the_total_is_their_sum(value, product, side, first):
    charges = order_charges(product=product, side=side, value=value, day=NOW, first_delivery_sale=first)

    assert all(item >= 0 and item == item.quantize(Decimal("0.01")) for item in charges.as_dict().values())
    assert charges.total == sum(charges.as_dict().values())


def test_the_round_trip_rate_agrees_with_the_orders():
    assert round_trip_rate(Product.MIS, 100_000, NOW) == pytest.approx(82.68e-5)
    assert round_trip_rate(Product.CNC, 100_000, NOW) == pytest.approx((222.48 + 15.34) / 1e5)
