"""Charges by our own books: when shares of an earlier day leave, as the exchange sees it."""

from datetime import timedelta
from decimal import Decimal

from pipelines.domain.orders import OrderStatus, Product
from pipelines.domain.signals import Side
from serving.executor.ledger import charges_by_order
from tests.unit.journal.records import NOON, a_fill, an_order

BUY = {"order_id": "1", "product": Product.CNC, "side": Side.BUY}
SELL = {"order_id": "2", "product": Product.CNC, "side": Side.SELL}


def test_shares_bought_and_sold_on_one_day_cost_no_dp_charge_even_while_the_purchase_goes_on():
    orders = [
        an_order(**BUY, quantity=10, filled_quantity=7, status=OrderStatus.CANCELLED),
        an_order(**SELL, quantity=4, filled_quantity=4, status=OrderStatus.COMPLETE),
    ]
    fills = [
        a_fill(trade_id="1", order_id="1", side=Side.BUY, quantity=4),
        a_fill(trade_id="2", order_id="2", side=Side.SELL, quantity=4, filled_at=NOON + timedelta(seconds=1)),
        a_fill(trade_id="3", order_id="1", side=Side.BUY, quantity=3, filled_at=NOON + timedelta(seconds=2)),
    ]

    assert charges_by_order(orders, fills)["2"].dp == 0


def test_shares_of_an_earlier_day_cost_the_dp_charge_once():
    day = timedelta(days=3)
    orders = [
        an_order(**BUY, quantity=10, filled_quantity=10, status=OrderStatus.COMPLETE),
        an_order(**SELL, quantity=4, filled_quantity=4, status=OrderStatus.COMPLETE),
        an_order(**SELL | {"order_id": "3"}, quantity=6, filled_quantity=6, status=OrderStatus.COMPLETE),
    ]
    fills = [
        a_fill(trade_id="1", order_id="1", side=Side.BUY, quantity=10),
        a_fill(trade_id="2", order_id="2", side=Side.SELL, quantity=4, filled_at=NOON + day),
        a_fill(trade_id="3", order_id="3", side=Side.SELL, quantity=6, filled_at=NOON + day + timedelta(seconds=1)),
    ]

    charges = charges_by_order(orders, fills)

    assert (charges["2"].dp, charges["3"].dp) == (Decimal("15.34"), 0)
