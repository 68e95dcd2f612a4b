"""Delivery when money is short: backtest and executor over the real exchange buy the same shares, and never too many.

A day has one price, up to three per cent from that of the day before. Positions are so large that the account cannot
pay all of them. The risk limits that the backtest does not know are switched off, the margin buffer stays.
"""

import json
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.credentials import credential
from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.domain.market_calendar import sessions_between
from pipelines.domain.outcomes import Outcome
from pipelines.evaluation.engine import Backtest, Rules, run_backtest
from pipelines.params import load_params
from pipelines.policy.panel import Panel, session_ends
from serving.exchange.recording import rules_from
from serving.exchange.replay import Choice, replay_bars
from serving.process import LOOPBACK, Process
from serving.processes import free_port
from tests.conftest import ROOT, workspace_at
from tests.integration.parity_player import PLANS, SQUARE_OFF_MINUTES, decisions_for
from tests.integration.told_trades import as_told, as_told_by_executor

FIRST, LAST = date(2024, 7, 8), date(2024, 8, 2)
SYMBOLS = ("AXISBANK", "HDFCBANK", "INFY", "ITC", "LT", "NTPC", "SBIN", "TCS")
BUFFER = 0.02
NO_LIMITS = (
    "max_position", "risk_per_trade", "max_net", "max_sector", "max_unclassified", "max_correlated", "max_daily_loss",
    "max_drawdown",
)  # fmt: skip
WIDE = dict.fromkeys(NO_LIMITS, 1e6) | {"max_positions": 100, "margin_buffer": BUFFER}


def folder_of_bars(folder: Path, seed: int, missing: float, nothing: tuple[int, ...] = ()) -> Path:
    """Daily files; `missing` is the share of a stock's days without a trade, in sessions `nothing` no stock has any."""
    folder.mkdir()
    days = [session.day for session in sessions_between(FIRST, LAST)]
    for number, symbol in enumerate(SYMBOLS):
        rng = np.random.default_rng([seed, number])
        levels = rng.uniform(200, 3000) * rng.normal(1.004, 0.02, len(days)).clip(0.966, 1.034).cumprod()
        kept = (rng.random(len(days)) >= missing) | (np.arange(len(days)) == len(days) - 1)
        kept[list(nothing)] = False
        lines = ["date,open,high,low,close,volume"]
        for day, level, there in zip(days, levels, kept, strict=True):
            price = round(level / 0.05) * 0.05
            lines += [f"{day},{price:.2f},{price:.2f},{price:.2f},{price:.2f},20000000"] if there else []
        (folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def executed(bars: Path, folder: Path) -> dict:
    """All days through the real exchange and an executor session, both processes of their own."""
    paths, _ = workspace_at(folder / "run", {"exchange.ticks_per_bar": 4})
    port, out = free_port(), folder / "told.json"
    command = (sys.executable, "-m", "serving.exchange", "--root", str(paths.root), "--port", str(port))
    exchange = Process(
        "exchange", (*command, "--bars", str(bars)), port=port, health_url=f"http://{LOOPBACK}:{port}/paper/status",
        env={}, folder=ROOT, log_folder=folder,
    )  # fmt: skip
    player = (sys.executable, "-m", "tests.integration.parity_player", f"http://{LOOPBACK}:{port}")
    with exchange.start():
        exchange.wait_until_healthy()
        session = Process(
            "session", (*player, credential("exchange_admin_token"), "day", str(out), "", "money", json.dumps(WIDE)),
            port=free_port(), health_url="", env={}, folder=ROOT, log_folder=folder,
        )  # fmt: skip
        with session.start():
            assert session.wait(200) == 0, session.tail(30)
    return json.loads(out.read_text(encoding="utf-8"))


def backtested(bars: Path) -> Backtest:
    params, plan = load_params(ROOT / "params.yaml"), PLANS["money"]
    replay = replay_bars(bars, Choice())
    table = pd.concat([replay.bars[i.symbol][list(BAR_COLUMNS)] for i in replay.instruments], ignore_index=True)
    table["session_end"] = session_ends(table["close_time"])
    catalogue = {"hash": "none", "interval": Interval.DAY.value, "features": []}
    panel = Panel(table, {i.symbol: i for i in replay.instruments}, Interval.DAY, catalogue)
    rules = Rules(
        opening_equity_inr=params.exchange.opening_cash_inr,
        fills=rules_from(params).fills,
        max_gross=1.0,
        risk_per_trade=plan.risk_per_trade,
        max_position=plan.max_position,
        hold_bars=plan.hold_bars,
        square_off_minutes=SQUARE_OFF_MINUTES,
        margin_buffer=BUFFER,
        min_share_of_decision=params.executor.min_share_of_decision,
    )
    decisions = decisions_for(panel.table, plan.judge)
    return run_backtest(panel, decisions, rules, int(panel.times[0]), int(panel.times[-1]))


def on_its_day(told: tuple) -> tuple:
    """The trade with the day of its exit: a daily bar's close is dated at its end, the executor leaves before."""
    return (told[0][:10], *told[1:])


def key(outcome: Outcome) -> tuple[str, str]:
    return outcome.symbol, outcome.entered_at.date().isoformat()


@pytest.mark.parametrize(("seed", "missing", "nothing"), [(5, 0.0, ()), (6, 0.15, ()), (9, 0.1, (4, 9, 10))])
def test_when_money_is_short_both_buy_the_same_and_never_too_much(seed, missing, nothing, tmp_path):
    bars = folder_of_bars(tmp_path / "bars", seed, missing, nothing)

    told, backtest = executed(bars, tmp_path), backtested(bars)

    expected = {key(t.outcome): on_its_day(as_told(t.outcome)) for t in backtest.trades}
    found = {(o["symbol"], o["entered_at"][:10]): on_its_day(as_told_by_executor(o)) for o in told["outcomes"]}
    assert found == expected
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == backtest.cash
    assert told["differences"] == []
    assert len(expected) > 15
