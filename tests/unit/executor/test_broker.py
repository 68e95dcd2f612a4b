"""The thin layer over the official client: what it reads and how it holds orders back."""

import json
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace

from kiteconnect import KiteConnect

from pipelines.domain.bars import IST
from pipelines.domain.orders import OrderStatus
from serving.executor.broker import KiteBroker, booked, client, traded

ORDER = {
    "order_id": "261030000000001",
    "tag": "TS1",
    "tradingsymbol": "TCS",
    "transaction_type": "BUY",
    "quantity": 10,
    "filled_quantity": 4,
    "order_type": "SL-M",
    "product": "MIS",
    "status": "TRIGGER PENDING",
    "trigger_price": 98.05,
    "order_timestamp": "2026-10-30 09:15:37",
    "exchange_timestamp": None,
}
TRADE = {
    "trade_id": "1",
    "order_id": "261030000000001",
    "tradingsymbol": "TCS",
    "transaction_type": "BUY",
    "quantity": 4,
    "average_price": 100.05,
    "fill_timestamp": "2026-10-30 09:15:37",
    "order_timestamp": "09:15:37",
}


def test_books_read_quickly_are_those_the_official_client_reads():
    official, ours = KiteConnect("key"), client("key", "http://127.0.0.1:1")
    for rows, read in (([ORDER], booked), ([TRADE], traded)):
        slow = official._format_response(json.loads(json.dumps(rows)))
        quick = ours._format_response(json.loads(json.dumps(rows)))

        assert [read(row) for row in quick] == [read(row) for row in slow]

    assert booked(ORDER).placed_at == datetime(2026, 10, 30, 9, 15, 37, tzinfo=IST)
    assert (booked(ORDER).trigger_price, traded(TRADE).price) == (Decimal("98.05"), Decimal("100.05"))


def test_an_order_that_changed_since_the_last_look_is_read_anew():
    books = [[ORDER], [dict(ORDER)], [ORDER | {"filled_quantity": 10, "status": "COMPLETE"}]]
    broker = KiteBroker(SimpleNamespace(orders=lambda: books.pop(0)), None)

    first, same, done = broker.orders()[0], broker.orders()[0], broker.orders()[0]

    assert same is first
    assert (done.filled_quantity, done.status) == (10, OrderStatus.COMPLETE)


def test_candles_read_quickly_are_those_the_official_client_reads():
    candles = {
        "candles": [["2026-10-30T09:15:00+0530", 1.0, 2.0, 0.5, 1.5, 10], ["2026-10-30T09:20:00+0530"] + [1] * 6]
    }

    quick = client("key", "http://127.0.0.1:1")._format_historical(candles)

    assert quick == KiteConnect("key")._format_historical(candles)


def test_orders_are_held_back_on_a_wall_clock_and_not_where_the_market_waits(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    for limit in (2, None):
        broker = KiteBroker(None, limit)
        for _ in range(3):
            broker._ordering(lambda: "id")

    assert len(slept) == 1
    assert 0 < slept[0] <= 1
