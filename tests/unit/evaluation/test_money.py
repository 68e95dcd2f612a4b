"""What the account can pay: the backtest never buys more, and intraday never blocks more than the broker lends."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.affordability import Need
from pipelines.domain.bars import Interval
from pipelines.domain.fills import FillModel
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.evaluation.engine import Engine
from pipelines.policy.panel import Panel
from tests.unit.evaluation.test_engine import RULES, a_flat_panel, decisions_at
from tests.unit.policy.builders import a_panel, an_instrument


class Watched(Engine):
    """Notes the least there was of cash, and of what could still be blocked, at any moment."""

    lowest = least_free = Decimal(10**9)

    def _pay(self, side, found, charges):
        super()._pay(side, found, charges)
        self.lowest = min(self.lowest, self.cash)

    def _decide_at(self, rows):
        super()._decide_at(rows)
        if self.pending:
            self.least_free = min(self.least_free, self._free())


def watched(panel: Panel, decisions, **rules) -> tuple[Watched, list]:
    engine = Watched(panel, decisions, replace(RULES, **rules), int(panel.times[0]), int(panel.times[-1]))
    return engine, list(engine.run().trades)


def test_ten_purchases_of_a_tenth_that_open_three_percent_higher_are_paid_by_what_is_there():
    panel = a_flat_panel(days=3, instruments=10, interval=Interval.DAY)
    days = len(panel.table) // 10
    panel.table.loc[panel.table.index % days == 2, ["open", "high", "low", "close"]] = 103.0

    engine, trades = watched(panel, decisions_at([days * k + 1 for k in range(10)], stop=0.05, target=0.5))

    assert engine.lowest >= 0
    assert [trade.outcome.quantity for trade in trades][:8] == [1000] * 8
    assert sum(trade.outcome.quantity for trade in trades) * 103 > 980_000


def test_the_most_promising_is_bought_first_and_what_money_cuts_by_half_is_left_out():
    panel = a_flat_panel(days=3, instruments=3, interval=Interval.DAY)
    decisions = decisions_at([1, 4, 7], stop=0.01, target=0.5)
    decisions["expected_return"] = [0.001, 0.003, 0.002]

    engine, trades = watched(panel, decisions, max_position=0.45, risk_per_trade=1.0)

    assert sorted(trade.outcome.symbol for trade in trades) == ["S1", "S2"]
    assert engine.lowest >= 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    position=st.floats(0.05, 1.0),
    hold=st.integers(1, 6),
    missing=st.floats(0.0, 0.5),
    participation=st.sampled_from([0.05, 1e-4]),
)
def test_delivery_never_spends_more_than_there_is(seed, position, hold, missing, participation):
    rng = np.random.default_rng(seed)
    panel = a_panel(days=15, instruments=6, interval=Interval.DAY, seed=seed)
    jumps = rng.normal(1.0, 0.04, len(panel.table)).cumprod().clip(0.1, 4.0)
    for name in ("open", "high", "low", "close"):
        panel.table[name] = (panel.table[name] * jumps).round(2).clip(20.0)
    panel.table["high"] = panel.table[["open", "high", "close"]].max(axis=1)
    panel.table["low"] = panel.table[["open", "low", "close"]].min(axis=1)
    table = panel.table[rng.random(len(panel.table)) >= missing].reset_index(drop=True)
    panel = Panel(table, panel.instruments, panel.interval, panel.catalogue)
    decisions = decisions_at(np.flatnonzero(rng.random(len(table)) < 0.7), stop=0.05, target=0.1)
    decisions["expected_return"] = rng.random(len(decisions))
    sizes = {"max_position": position, "risk_per_trade": 1.0, "fills": FillModel(5.0, participation, 5.0)}

    engine, trades = watched(panel, decisions, hold_bars=hold, **sizes)

    assert engine.lowest >= 0
    assert engine.cash == RULES.opening_equity_inr + sum(trade.outcome.net_inr for trade in trades)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), position=st.floats(0.1, 6.0))
def test_intraday_never_blocks_more_than_the_account_carries(seed, position):
    rng = np.random.default_rng(seed)
    panel = a_panel(days=3, instruments=5, seed=seed)
    rows = np.flatnonzero(rng.random(len(panel.table)) < 0.4)
    decisions = decisions_at(rows, side=rng.choice([-1, 1], len(rows)), stop=0.02, target=0.02)

    engine, _ = watched(panel, decisions, max_position=position, max_gross=100.0, risk_per_trade=10.0)

    assert engine.least_free >= 0


@pytest.mark.parametrize("product", [Product.CNC, Product.MIS])
@given(free=st.decimals(0, 10**6, places=2), price=st.integers(100, 10**7), asked=st.integers(1, 10**5))
def test_the_most_that_money_carries_is_carried_and_one_more_is_not(product, free, price, asked):
    instrument, day = an_instrument(), a_flat_panel().table["close_time"][0].date()
    need = Need.of_order(instrument, product, Side.BUY, Decimal(price) / 100, day)

    most = need.most(asked, free)

    assert need.of(most) <= free or most == 0
    assert most == asked or need.of(most + 1) > free
