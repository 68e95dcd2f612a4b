"""Delivery over ex-dates: the executor over the real exchange does to the paisa what the backtest does.

A day's prices do not move, so that a fill's moment within the day, which daily bars do not tell, is no difference.
"""

import json
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from pipelines.credentials import credential
from pipelines.domain.bars import BAR_COLUMNS, IST, Interval
from pipelines.domain.corporate_actions import actions_table
from pipelines.domain.market_calendar import session_on, sessions_between
from pipelines.evaluation.engine import Backtest, Rules, run_backtest
from pipelines.params import load_params
from pipelines.policy.panel import Panel, session_ends
from pipelines.tables import write_table
from serving.exchange.recording import rules_from
from serving.exchange.replay import Choice, replay_bars
from serving.process import LOOPBACK, Process
from serving.processes import free_port
from tests.conftest import ROOT, workspace_at
from tests.integration.parity_player import (
    HOLD_DAYS,
    MAX_POSITION,
    RISK_PER_TRADE,
    SQUARE_OFF_MINUTES,
    decisions_for,
    judge_for_delivery,
)
from tests.integration.told_trades import as_told, as_told_by_executor

FIRST, LAST = date(2024, 7, 8), date(2024, 7, 26)  # 2024-07-17 is a holiday
EX_DATES = {  # of TCS a split on the day after the holiday, of INFY a bonus on a Monday; SBIN pays a dividend
    "TCS": (date(2024, 7, 18), "split", 5.0),
    "INFY": (date(2024, 7, 22), "bonus", 2.0),
    "SBIN": (date(2024, 7, 18), "dividend", float("nan")),
}
LEVELS = {"TCS": 4000.0, "INFY": 1800.0, "SBIN": 850.0}


def folder_of_bars(folder: Path) -> Path:
    """Daily files in which each day has one price, a little off the one before, and the ex-dates their step."""
    folder.mkdir()
    days = [session.day for session in sessions_between(FIRST, LAST)]
    for symbol, level in LEVELS.items():
        ex_date, kind, ratio = EX_DATES[symbol]
        lines = ["date,open,high,low,close,volume"]
        for n, day in enumerate(days):
            whole = level * (1 + 0.004 * ((n * 7 + len(symbol)) % 5 - 2))
            price = round(whole / (ratio if kind != "dividend" and day >= ex_date else 1.0) / 0.05) * 0.05
            lines.append(f"{day},{price:.2f},{price:.2f},{price:.2f},{price:.2f},20000000")
        (folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def the_actions() -> pd.DataFrame:
    return actions_table(
        {
            "symbol": symbol, "ex_date": pd.Timestamp(day, tz=IST), "kind": kind, "ratio": ratio, "amount_inr": 10.0,
            "known_at": datetime(2024, 7, 10, 20, tzinfo=IST), "source": "test",
        }
        for symbol, (day, kind, ratio) in EX_DATES.items()
    )  # fmt: skip


def executed(bars: Path, folder: Path) -> dict:
    """All days through the real exchange and an executor session, both processes of their own."""
    paths, _ = workspace_at(folder / "run", {"exchange.ticks_per_bar": 6})
    write_table(the_actions(), folder / "actions.parquet")
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
            "session",
            (*player, credential("exchange_admin_token"), "day", str(out), str(folder / "actions.parquet")),
            port=free_port(), health_url="", env={}, folder=ROOT, log_folder=folder,
        )  # fmt: skip
        with session.start():
            assert session.wait(120) == 0, session.tail(30)
    return json.loads(out.read_text(encoding="utf-8"))


def backtested(bars: Path) -> Backtest:
    params = load_params(ROOT / "params.yaml")
    replay = replay_bars(bars, Choice())
    table = pd.concat([replay.bars[i.symbol][list(BAR_COLUMNS)] for i in replay.instruments], ignore_index=True)
    table["session_end"] = session_ends(table["close_time"])
    catalogue = {"hash": "none", "interval": Interval.DAY.value, "features": []}
    instruments = {i.symbol: i for i in replay.instruments}
    panel = Panel(table, instruments, Interval.DAY, catalogue, the_actions())
    rules = Rules(
        opening_equity_inr=params.exchange.opening_cash_inr,
        fills=rules_from(params).fills,
        max_gross=1.0,
        risk_per_trade=RISK_PER_TRADE,
        max_position=MAX_POSITION,
        hold_bars=HOLD_DAYS,
        square_off_minutes=SQUARE_OFF_MINUTES,
    )
    decisions = decisions_for(panel.table, judge_for_delivery)
    return run_backtest(panel, decisions, rules, int(panel.times[0]), int(panel.times[-1]))


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[dict, Backtest]:
    folder = tmp_path_factory.mktemp("ex_date")
    bars = folder_of_bars(folder / "bars")
    return executed(bars, folder), backtested(bars)


def test_both_trade_the_same_to_the_paisa_and_no_split_is_met(both):
    told, backtest = both

    expected = {
        (o.symbol, o.entered_at.date().isoformat()): on_its_day(as_told(o))
        for o in (t.outcome for t in backtest.trades)
    }
    found = {(o["symbol"], o["entered_at"][:10]): on_its_day(as_told_by_executor(o)) for o in told["outcomes"]}
    assert found == expected
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == backtest.cash
    assert told["differences"] == []
    assert told["alarms"] == []


def test_they_are_out_on_the_last_session_before_and_in_again_on_the_day_after_the_ex_date(both):
    told, _ = both

    held = {(o["symbol"], o["entered_at"][:10], o["exited_at"][:10], o["exit_reason"]) for o in told["outcomes"]}
    assert held == {
        ("TCS", "2024-07-09", "2024-07-16", "ex_date"),
        ("TCS", "2024-07-19", "2024-07-26", "flatten"),
        ("INFY", "2024-07-09", "2024-07-19", "ex_date"),
        ("INFY", "2024-07-23", "2024-07-26", "flatten"),
        ("SBIN", "2024-07-09", "2024-07-26", "flatten"),
    }
    left = [o["exited_at"] for o in told["outcomes"] if o["exit_reason"] == "ex_date"]
    for moment in map(datetime.fromisoformat, left):
        session = session_on(moment.date())
        assert session is not None
        assert session.close.replace(minute=10) <= moment < session.close


def test_the_executor_notes_what_it_refused_for_an_ex_date(both):
    told, _ = both

    refused = {(rule, symbol, str(at)[:10]) for rule, symbol, at in told["refused"] if rule == "ex-date"}
    assert refused == {("ex-date", "TCS", "2024-07-18"), ("ex-date", "INFY", "2024-07-22")}


def on_its_day(told: tuple) -> tuple:
    """The trade with the day of its exit: a daily bar's close is dated at its end, the executor leaves before."""
    return (told[0][:10], *told[1:])
