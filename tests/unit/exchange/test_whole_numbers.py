"""Whole numbers in forms: plain digits, or a complaint that names the field."""

import json

import pytest

from serving.exchange.gtt import price_of
from serving.exchange.order_forms import order_changes, order_request, quantity_of
from serving.exchange.refusals import KiteError
from tests.unit.exchange.builders import ALPHA
from tests.unit.exchange.test_alerts import a_basket, a_market, added
from tests.unit.exchange.test_order_rules import a_form

ODD = ["1e3", "１０", "1_000", " 10", "10 ", "+5", "10.0", "0x10", "٣", "1,000", "NaN", "9" * 13, "ten", "", "1\n"]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("field", ["quantity", "disclosed_quantity", "validity_ttl", "iceberg_legs"])
def test_an_order_takes_plain_digits_only(field, text):
    if (field, text) != ("quantity", "") and not text:
        return  # not given
    with pytest.raises(KiteError, match=f"`{field}`"):
        order_request(a_form(**{field: text}), {"ALPHA": ALPHA}, "regular")


@pytest.mark.parametrize("text", ODD)
def test_a_change_and_a_conversion_take_plain_digits_only(text):
    with pytest.raises(KiteError, match="`quantity`"):
        order_changes({"quantity": text}, "regular")
    with pytest.raises(KiteError, match="`quantity`"):
        quantity_of({"quantity": text}, ALPHA)


@pytest.mark.parametrize("quantity", ["1e3", "1_000", 10.0, " 10", True, [10]])
def test_a_basket_takes_plain_digits_only(quantity):
    with pytest.raises(KiteError, match="`quantity`"):
        added(a_market(), type="ato", basket=a_basket(quantity=quantity))


def test_digits_are_taken():
    assert order_request(a_form(quantity="1000"), {"ALPHA": ALPHA}, "regular").quantity == 1000
    assert json.loads(a_basket())["items"]


@pytest.mark.parametrize("text", ["1_0", "１０", " 10", "0x10", "Infinity", "1" * 50])
def test_a_price_is_typed_by_the_same_rule(text):
    with pytest.raises(KiteError, match="`price`"):
        order_request(a_form(price=text), {"ALPHA": ALPHA}, "regular")
    with pytest.raises(KiteError, match="`trigger_values`"):
        price_of(text, "trigger_values")
