from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.signals import Action
from pipelines.policy.sizing import size_position, stop_and_target
from tests.unit.policy.builders import an_instrument


def shares(action=Action.TAKE, price=500.0, stop=0.02, equity=1_000_000, lot=1, risk=0.01, largest=0.10):
    return size_position(
        equity_inr=equity,
        price=price,
        stop_distance=stop,
        risk_per_trade=risk,
        max_position=largest,
        action=action,
        instrument_lot=lot,
    )


def test_a_far_stop_makes_the_position_small_and_a_near_one_is_capped():
    assert shares(stop=0.20) == 100  # Rs 10,000 at risk, Rs 100 a share
    assert shares(stop=0.001) == 200  # Rs 1 lakh at most


def test_reduced_is_half_and_skipped_is_none():
    assert shares(Action.REDUCE) == 100
    assert shares(Action.SKIP) == 0


def test_only_whole_lots_are_traded():
    assert shares(lot=75) == 150
    assert shares(lot=201) == 0


@given(
    equity=st.decimals(0, 10**9, places=2),
    price=st.floats(0.05, 1e5),
    stop=st.floats(1e-4, 0.5),
    lot=st.integers(1, 50),
)
def test_neither_risk_nor_size_is_ever_exceeded(equity, price, stop, lot):
    quantity = shares(equity=equity, price=price, stop=stop, lot=lot)

    assert quantity >= 0
    assert quantity % lot == 0
    assert quantity * price <= float(equity) * 0.10 * (1 + 1e-9)
    assert quantity * price * stop <= float(equity) * 0.01 * (1 + 1e-9)


@pytest.mark.parametrize(("sign", "stop", "target"), [(1, "98.00", "103.00"), (-1, "102.00", "97.00")])
def test_stop_and_target_lie_on_the_tick_grid_on_their_sides(sign, stop, target):
    assert stop_and_target(100.0, sign, 0.02, 0.03, an_instrument()) == (Decimal(stop), Decimal(target))
