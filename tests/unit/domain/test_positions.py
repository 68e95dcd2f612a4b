from decimal import Decimal

import pytest

from pipelines.domain.signals import Side
from tests.unit.journal.records import a_position


def test_the_best_and_the_worst_gain_are_remembered():
    position = a_position(entry_price=Decimal("100"), quantity=10)

    for price in ("101", "99", "100.5"):
        position = position.marked(Decimal(price))

    assert (position.mfe_inr, position.mae_inr) == (Decimal("10"), Decimal("-10"))


def test_a_short_position_gains_when_the_price_falls():
    position = a_position(side=Side.SELL, entry_price=Decimal("100"), quantity=10).marked(Decimal("98"))

    assert (position.mfe_inr, position.mae_inr) == (Decimal("20"), Decimal("0"))


@pytest.mark.parametrize(
    ("side", "price", "reached"), [("BUY", "105", True), ("BUY", "104.95", False), ("SELL", "95", True)]
)
def test_a_target_is_reached_in_the_positions_direction(side, price, reached):
    target = Decimal("105") if side == "BUY" else Decimal("95")

    assert a_position(side=Side(side), target=target).reached_target(Decimal(price)) is reached


def test_without_a_target_none_is_reached():
    assert not a_position(target=None).reached_target(Decimal("1000"))


@pytest.mark.parametrize(
    ("side", "stop", "price", "passed"),
    [("BUY", "98", "98", True), ("BUY", "98", "98.05", False), ("SELL", "102", "103", True)],
)
def test_a_stop_is_passed_when_the_price_is_at_it_or_beyond(side, stop, price, passed):
    assert a_position(side=Side(side), stop=Decimal(stop)).passed_stop(Decimal(price)) is passed


def test_a_position_expires_after_its_bars():
    assert not a_position(hold_bars=3, bars_held=2).expired()
    assert a_position(hold_bars=3, bars_held=3).expired()
