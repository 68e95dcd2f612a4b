"""Parity on a day whose first continuous trade is off the pre-open auction's price."""

from dataclasses import replace
from decimal import Decimal

import pytest

from serving.exchange.replay import Replay
from tests.conftest import SHARED_DATA, workspace_at
from tests.integration import test_parity as parity
from tests.integration.told_trades import as_told, as_told_by_executor

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the recorded days are not here")
GAP_BPS = 30.0


def test_executor_and_backtest_agree_after_a_pre_open_auction(tmp_path, monkeypatch):
    day, market = replace(parity.BARS, symbols="SBIN"), Replay.market
    monkeypatch.setattr(
        parity, "workspace_at", lambda folder, told: workspace_at(folder, told | {"exchange.auction_gap_bps": GAP_BPS})
    )
    monkeypatch.setattr(Replay, "market", lambda replay, ticks, seed: market(replay, ticks, seed, GAP_BPS))

    tape = parity.backtested(day, with_tape=True)
    told = parity.executed(day, tmp_path)

    found = {(o["symbol"], o["entered_at"]): as_told_by_executor(o) for o in told["outcomes"]}
    assert len(found) > 10
    assert found == {parity.key(trade.outcome): as_told(trade.outcome) for trade in tape.trades}
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == tape.cash
    assert told["differences"] == []
