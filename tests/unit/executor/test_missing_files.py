"""Files of the run that cannot be read at a start: what is open is managed all the same, nothing is entered."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.errors import BadInput
from pipelines.domain.orders import OrderType, Product
from tests.unit.executor.test_session import Market


class Broken:
    """A file that cannot be read until it is mended."""

    def __init__(self, content):
        self.content, self.mended = content, False

    def __call__(self, *_):
        if not self.mended:
            raise BadInput("the file cannot be read; write it")
        return self.content


def next_life(first: Market, **terms) -> Market:
    second = Market(journal=first.journal, broker=first.broker, at=first.at, **terms)
    second.total = first.total
    return second


def held(**terms) -> Market:
    market = Market(**terms)
    market.decides(quantity=10, hold_bars=100, stop=Decimal("98.00"), target=Decimal("103.00"))
    market.trades("100.00")
    return market


def test_an_unreadable_restricted_list_ends_a_start_with_nothing_open():
    with pytest.raises(BadInput):
        Market(restrictions=Broken(()))


def test_an_unreadable_restricted_list_leaves_what_is_open_managed():
    restrictions = Broken(())
    market = next_life(held(), restrictions=restrictions)
    protected = market.working

    market.trades("103.50")
    market.trades("103.50")
    market.decides(quantity=10)
    closed, sent = len(market.journal.outcomes("T1")), market.working
    restrictions.mended = True
    market.at += timedelta(minutes=5)
    market.trades("100.00")
    market.trades("100.00", seconds=300)
    market.decides(quantity=10)
    market.trades("100.00")

    assert protected == [(OrderType.SL_M, 10)]
    assert (closed, sent) == (1, []), "left at its target; nothing was entered"
    assert any("nothing is entered: the file cannot be read" in alarm for alarm in market.session.alarms)
    assert market.working == [(OrderType.SL_M, 10)], "entered again when it could be read"


def test_unreadable_actions_leave_delivery_managed():
    first = held(product=Product.CNC)

    second = next_life(first, product=Product.CNC, actions=Broken(None))

    assert second.working == [(OrderType.SL_M, 10)]
    assert any("corporate actions cannot be read" in alarm for alarm in second.session.alarms)
