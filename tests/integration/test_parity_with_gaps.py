"""Bars without a trade: the backtest, the backtest on the tape and the executor over the real exchange do the same.

A bar's price does not move and neighbours differ by a tick, so that bars know as much as ticks do; stop and target are
far away. Then all three are equal to the paisa, trade by trade. A recorded day with bars taken out is played, too.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from pipelines.credentials import credential
from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.domain.market_calendar import bar_times, session_on
from pipelines.domain.outcomes import Outcome
from pipelines.evaluation.engine import Backtest, Rules, run_backtest
from pipelines.evaluation.tape import Tape
from pipelines.params import load_params
from pipelines.policy.panel import Panel, session_ends
from serving.exchange.recording import rules_from
from serving.exchange.replay import Choice, Replay, replay_bars
from serving.exchange.tape import tape_of
from serving.executor.daemon import exits_from
from serving.executor.trade import MOST_RESIZES
from serving.process import LOOPBACK, Process
from serving.processes import free_port
from tests.conftest import ROOT, SHARED_DATA, workspace_at
from tests.integration.parity_player import (
    HOLD_BARS,
    PLANS,
    SQUARE_OFF_MINUTES,
    decisions_for,
)
from tests.integration.test_parity_of_money import NO_LIMITS
from tests.integration.told_trades import as_told, as_told_by_executor

DAY = date(2023, 4, 20)
SYMBOLS = ("AXISBANK", "HDFCBANK", "SBIN")
TICKS_PER_BAR = 4
WIDE = dict.fromkeys(NO_LIMITS, 1e6) | {"max_positions": 100}
Missing = Callable[[str, time], bool]


@dataclass(frozen=True)
class Case:
    """A day and which of its bars nobody traded in."""

    seed: int
    missing: Missing


def at_random(share: float, seed: int) -> Missing:
    return lambda symbol, at: bool(np.random.default_rng([seed, hash_of(symbol), at.hour, at.minute]).random() < share)


def hash_of(symbol: str) -> int:
    return sum(map(ord, symbol))


CASES = {
    "one bar in four": Case(11, at_random(0.25, 5)),
    "nearly half of the bars": Case(12, at_random(0.45, 6)),
    "the first and the last bars of one instrument": Case(
        13, lambda symbol, at: symbol == "SBIN" and not time(10) <= at < time(15)
    ),
    "around the square-off": Case(14, lambda symbol, at: symbol != "SBIN" and time(14, 55) <= at < time(15, 25)),
    "an hour and the last half hour of all": Case(
        15, lambda symbol, at: time(11, 15) <= at < time(12, 15) or at >= time(15)
    ),
    "the first bars of all, and single bars": Case(16, lambda _, at: at < time(9, 40) or at_random(0.1, 7)("all", at)),
}


def folder_of_bars(folder: Path, case: Case) -> Path:
    """Files of five-minute bars, each of one price, a tick or none from that of the bar before."""
    folder.mkdir()
    session = session_on(DAY)
    assert session is not None
    for symbol in SYMBOLS:
        steps = np.random.default_rng([case.seed, hash_of(symbol)]).integers(-1, 2, 75)
        lines = ["date,open,high,low,close,volume"]
        for (opened, _), price in zip(bar_times(session, Interval.MIN_5), 1000 + 0.05 * steps.cumsum(), strict=True):
            if not case.missing(symbol, opened.time()):
                lines.append(f"{opened.isoformat()},{price:.2f},{price:.2f},{price:.2f},{price:.2f},20000000")
        (folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def executed(bars: Path, interval: Interval, plan: str, folder: Path, limits: Mapping = MappingProxyType({})) -> dict:
    """Through the real exchange and an executor session, both processes of their own."""
    paths, _ = workspace_at(folder / "run", {"exchange.ticks_per_bar": TICKS_PER_BAR})
    port, out = free_port(), folder / "told.json"
    command = (sys.executable, "-m", "serving.exchange", "--root", str(paths.root), "--port", str(port))
    exchange = Process(
        "exchange", (*command, "--bars", str(bars), "--days", f"{DAY}"), port=port,
        health_url=f"http://{LOOPBACK}:{port}/paper/status", env={}, folder=ROOT, log_folder=folder,
    )  # fmt: skip
    player = (sys.executable, "-m", "tests.integration.parity_player", f"http://{LOOPBACK}:{port}")
    with exchange.start():
        exchange.wait_until_healthy()
        session = Process(
            "session",
            (*player, credential("exchange_admin_token"), interval.value, str(out), "", plan, json.dumps(dict(limits))),
            port=free_port(), health_url="", env={}, folder=ROOT, log_folder=folder,
        )  # fmt: skip
        with session.start():
            assert session.wait(240) == 0, session.tail(30)
    return json.loads(out.read_text(encoding="utf-8"))


def backtested(bars: Path, interval: Interval, plan: str, *, with_tape: bool) -> Backtest:
    params = load_params(ROOT / "params.yaml")
    replay = replay_bars(bars, Choice(frozenset({DAY})))
    panel = panel_of(replay, interval)
    rules = Rules(
        opening_equity_inr=params.exchange.opening_cash_inr,
        fills=rules_from(params).fills,
        max_gross=1.0 if plan != "leveraged" else 100.0,
        risk_per_trade=PLANS[plan].risk_per_trade,
        max_position=PLANS[plan].max_position,
        hold_bars=HOLD_BARS,
        square_off_minutes=SQUARE_OFF_MINUTES,
        margin_buffer=params.executor.margin_buffer,
        min_share_of_decision=params.executor.min_share_of_decision,
    )
    tape = None
    if with_tape:
        market = replay.market(TICKS_PER_BAR, params.exchange.seed)
        tape = Tape(tape_of(market), exits_from(params.executor.exit), MOST_RESIZES)
    decisions = decisions_for(panel.table, PLANS[plan].judge)
    return run_backtest(panel, decisions, rules, int(panel.times[0]), int(panel.times[-1]), tape)


def panel_of(replay: Replay, interval: Interval) -> Panel:
    played = [replay.bars[i.symbol][list(BAR_COLUMNS)] for i in replay.instruments]
    table = pd.concat([bars[bars["open_time"].dt.date == DAY] for bars in played], ignore_index=True)
    table["session_end"] = session_ends(table["close_time"])
    catalogue = {"hash": "none", "interval": interval.value, "features": []}
    return Panel(table, {i.symbol: i for i in replay.instruments}, interval, catalogue)


def key(outcome: Outcome) -> tuple[str, str]:
    return outcome.symbol, str(outcome.entered_at)


def by_bar(outcome: Outcome) -> tuple:
    """A trade without the moments within its bars, which bars alone cannot tell."""
    told = as_told(outcome)
    return (outcome.symbol, _bar_of(outcome.entered_at), *told[1:-1], *told[-1][:2])


def _bar_of(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


@pytest.mark.parametrize("name", CASES)
def test_bars_without_a_trade_count_alike_in_all_three(name, tmp_path):
    bars = folder_of_bars(tmp_path / "bars", CASES[name])
    on_bars, on_tape = (backtested(bars, Interval.MIN_5, "far", with_tape=with_tape) for with_tape in (False, True))

    told = executed(bars, Interval.MIN_5, "far", tmp_path)

    expected = {key(trade.outcome): as_told(trade.outcome) for trade in on_tape.trades}
    assert {(o["symbol"], o["entered_at"]): as_told_by_executor(o) for o in told["outcomes"]} == expected
    assert sorted(by_bar(t.outcome) for t in on_bars.trades) == sorted(by_bar(t.outcome) for t in on_tape.trades)
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == on_tape.cash == on_bars.cash
    assert len(expected) >= 5
    assert told["differences"] == []


def test_with_leverage_all_three_enter_what_the_margin_carries(tmp_path):
    bars = folder_of_bars(tmp_path / "bars", Case(21, at_random(0.15, 9)))
    on_bars, on_tape = (
        backtested(bars, Interval.MIN_5, "leveraged", with_tape=with_tape) for with_tape in (False, True)
    )

    told = executed(bars, Interval.MIN_5, "leveraged", tmp_path, WIDE | {"max_gross": 1e6})

    expected = {key(trade.outcome): as_told(trade.outcome) for trade in on_tape.trades}
    assert {(o["symbol"], o["entered_at"]): as_told_by_executor(o) for o in told["outcomes"]} == expected
    assert sorted(by_bar(t.outcome) for t in on_bars.trades) == sorted(by_bar(t.outcome) for t in on_tape.trades)
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == on_tape.cash == on_bars.cash
    assert any(trade.share < 1.65 for trade in on_bars.trades)  # one at least was cut


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the recorded days are not here")
def test_a_recorded_day_with_bars_taken_out_is_the_same_on_the_tape_and_in_the_market(tmp_path):
    folder, missing = tmp_path / "bars", at_random(0.3, 8)
    folder.mkdir()
    for symbol in ("HDFCBANK", "ICICIBANK", "SBIN"):
        rows = pd.read_parquet(SHARED_DATA / "intraday" / "1min" / f"{symbol}_2023AprMay.parquet")
        stamps = pd.to_datetime(rows["date"] if "date" in rows else rows["timestamp"])
        of_day = rows[(stamps.dt.date == DAY) & (stamps.dt.time >= time(13, 30))]
        times = stamps[of_day.index].dt.time
        kept = [not missing(symbol, at) and not time(14, 20) <= at < time(14, 32) for at in times]
        of_day[kept].to_parquet(folder / f"{symbol}.parquet")

    told = executed(folder, Interval.MIN_1, "drawn", tmp_path)

    tape = backtested(folder, Interval.MIN_1, "drawn", with_tape=True)
    expected = {key(trade.outcome): as_told(trade.outcome) for trade in tape.trades}
    assert {(o["symbol"], o["entered_at"]): as_told_by_executor(o) for o in told["outcomes"]} == expected
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == tape.cash
    assert len(expected) > 10
