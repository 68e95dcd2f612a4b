from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.charges import (
    PRODUCTS_OF,
    Charges,
    exact_charges,
    exercise_charges,
    order_charges,
    rates_on,
    round_trip_rate,
)
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side

NOW = date(2026, 10, 30)
LAKH = Decimal(100_000)
TRADED = [(kind, product) for kind, products in PRODUCTS_OF.items() for product in products]


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


@pytest.mark.parametrize(
    ("kind", "product", "value", "day", "expected"),
    [
        (Kind.STOCK, Product.MIS, 5 * LAKH, NOW, "224.61"),
        (Kind.FUTURE, Product.NRML, 10 * LAKH, NOW, "612.75"),
        (Kind.FUTURE, Product.MIS, 10 * LAKH, date(2026, 3, 31), "312.75"),  # STT 0.02 %
        (
            Kind.FUTURE,
            Product.NRML,
            10 * LAKH,
            date(2026, 2, 28),
            "312.39",
        ),  # NSE 0.00173 %, its fund 0.0001 %
        (Kind.FUTURE, Product.NRML, 10 * LAKH, date(2024, 9, 30), "237.39"),  # STT 0.0125 %
        (Kind.FUTURE, Product.NRML, 10 * LAKH, date(2023, 3, 31), "210.39"),  # STT 0.01 %
        (Kind.OPTION, Product.NRML, LAKH, NOW, "284.29"),
        (Kind.OPTION, Product.NRML, LAKH, date(2026, 3, 31), "234.29"),  # STT 0.1 %
        (Kind.OPTION, Product.NRML, LAKH, date(2026, 2, 28), "234.11"),  # NSE 0.03503 %, its fund 0.0005 % without tax
        (Kind.OPTION, Product.NRML, LAKH, date(2024, 9, 30), "196.61"),  # STT 0.0625 %
        (Kind.OPTION, Product.NRML, LAKH, date(2023, 3, 31), "183.11"),  # STT 0.05 %
    ],
)
def test_a_contract_note_of_both_legs_comes_out_to_the_paisa(kind, product, value, day, expected):
    legs = [exact_charges(product=product, side=side, value=value, day=day, kind=kind) for side in Side]

    assert round(sum(leg.total for leg in legs), 2) == Decimal(expected)


def test_an_order_for_options_costs_20_rupees_of_brokerage_however_small():
    small = order_charges(product=Product.NRML, side=Side.BUY, value=Decimal(5), day=NOW, kind=Kind.OPTION)

    assert small.brokerage == 20


def test_who_exercises_pays_tax_on_what_the_option_is_worth():
    assert exercise_charges(LAKH, NOW).total == exercise_charges(LAKH, NOW).stt == Decimal("150.00")
    assert exercise_charges(LAKH, date(2026, 3, 31)).stt == Decimal("125.00")


@pytest.mark.parametrize(
    ("kind", "product"),
    [(Kind.STOCK, Product.NRML), (Kind.FUTURE, Product.CNC), (Kind.OPTION, Product.CNC), (Kind.INDEX, Product.MIS)],
)
def test_what_is_not_traded_in_a_product_has_no_charges_in_it(kind, product):
    with pytest.raises(BadInput, match="has no charges in product"):
        order_charges(product=product, side=Side.BUY, value=LAKH, day=NOW, kind=kind)


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

    assert before.exchange == Decimal("3.07"), "2.97 and 0.10 for the investor protection fund"
    assert before.gst < after.gst, "there is no tax on the fund's share where it is taken by itself"
    assert after.exchange == Decimal("3.07")


def test_the_exchanges_rate_of_october_2024_stands_in_for_earlier_days():
    early, later = rates_on(Product.CNC, date(2012, 1, 2)), rates_on(Product.CNC, date(2024, 10, 1))

    assert early.exchange == later.exchange
    assert (early.ipft, later.ipft) == (0, Decimal("0.000001")), "the fund's rate is that of April 2023"


@pytest.mark.parametrize(("kind", "crore"), [(Kind.STOCK, "307"), (Kind.FUTURE, "183"), (Kind.OPTION, "3553")])
def test_what_goes_to_the_exchange_stays_with_the_cut_of_its_fund(kind, crore):
    product = Product.MIS if kind is Kind.STOCK else Product.NRML
    days = [date(2024, 10, 1), date(2026, 2, 28), date(2026, 3, 1)]

    paid = {
        exact_charges(product=product, side=Side.BUY, value=100 * LAKH, day=day, kind=kind).exchange for day in days
    }

    assert paid == {Decimal(crore)}


def test_every_rate_names_its_source():
    assert all(rates_on(product, NOW, kind).source for kind, product in TRADED)


def test_nothing_filled_costs_nothing_and_a_negative_value_is_refused():
    assert order_charges(product=Product.CNC, side=Side.SELL, value=Decimal(0), day=NOW).total == 0
    with pytest.raises(BadInput, match="below zero"):
        order_charges(product=Product.CNC, side=Side.SELL, value=Decimal(-1), day=NOW)


@given(
    value=st.decimals(min_value=1, max_value=10**9, places=2),
    traded=st.sampled_from(TRADED),
    side=st.sampled_from(Side),
    first=st.booleans(),
)
def test_every_item_is_whole_paise_and_the_total_is_their_sum(value, traded, side, first):
    kind, product = traded
    charges = order_charges(product=product, side=side, value=value, day=NOW, kind=kind, first_delivery_sale=first)

    assert all(item >= 0 and item == item.quantize(Decimal("0.01")) for item in charges.as_dict().values())
    assert charges.total == sum(charges.as_dict().values())


def test_the_round_trip_rate_agrees_with_the_orders():
    assert round_trip_rate(Product.MIS, 100_000, NOW) == pytest.approx(82.68e-5)
    assert round_trip_rate(Product.CNC, 100_000, NOW) == pytest.approx((222.48 + 15.34) / 1e5)
