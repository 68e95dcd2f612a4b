"""A person changes our stop at the exchange while the executor runs as a process of its own."""

from datetime import datetime

import pytest

from pipelines.domain.bars import IST
from pipelines.tables import read_json
from serving.executor.access import keys_for
from serving.executor.kite_client import client
from serving.executor.login import paper_log_in
from tests.integration.test_executor import MARKET, exchange_at, executor_at, health, market_at, wait_for
from tests.integration.test_without_policy import Leaving


@pytest.fixture(scope="module")
def market(tmp_path_factory, own_postgres):
    """Two instruments, bars of fifteen minutes, one day held back."""
    return market_at(tmp_path_factory.mktemp("market"), MARKET | {"exchange.ticks_per_bar": 60})


def by_hand(exchange):
    keys = keys_for(exchange.url)
    kite = client(keys.api_key, exchange.url)
    token = paper_log_in(exchange.url, keys.api_key, keys.api_secret, datetime.now(IST))
    kite.set_access_token(token.access_token)
    return kite


def a_stop(kite) -> dict | None:
    found = [row for row in kite.orders() if row["status"] == "TRIGGER PENDING" and row["transaction_type"] == "SELL"]
    return found[0] if found else None


def row_of(kite, order_id: str) -> dict:
    return next(row for row in kite.orders() if row["order_id"] == order_id)


def test_a_stop_moved_or_unmade_by_hand_is_put_back(market):
    policy = Leaving(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("open_positions"))
            kite = by_hand(exchange)
            stop = wait_for(lambda: a_stop(kite))
            order_id, trigger = stop["order_id"], stop["trigger_price"]
            kite.modify_order("regular", order_id, trigger_price=round(trigger * 0.95, 1), order_type="SL-M",
                              market_protection=-1)  # fmt: skip
            wait_for(lambda: any("put back" in alarm for alarm in health(executor).get("alarms", [])))
            wait_for(lambda: row_of(kite, order_id)["trigger_price"] == trigger)
            kite.modify_order("regular", order_id, price=round(trigger * 1.15, 1), order_type="LIMIT")
            wait_for(lambda: any("a limit of" in alarm for alarm in health(executor).get("alarms", [])))
            back = wait_for(lambda: (row := row_of(kite, order_id))["order_type"] == "SL-M" and row)
            code = executor.wait(150)

    told = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(30)
    assert (back["trigger_price"], back["quantity"]) == (trigger, stop["quantity"])
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["naked_seconds_max"] <= 1
