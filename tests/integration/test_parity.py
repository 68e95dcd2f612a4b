"""One recorded day, one rule: the backtest on the tape and the executor over the real exchange do the same.

What the backtest on bars alone makes of the day is told trade by trade with its cause; see docs/parity.md.
"""

import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from pipelines.credentials import credential
from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.evaluation.engine import Backtest, Rules, run_backtest
from pipelines.evaluation.tape import Tape
from pipelines.params import load_params
from pipelines.policy.panel import Panel
from serving.exchange.recording import rules_from
from serving.exchange.replay import Choice, Replay, days_asked, replay_bars, replay_ticks, symbols_asked
from serving.exchange.tape import tape_of
from serving.executor.daemon import exits_from
from serving.executor.trade import MOST_RESIZES
from serving.process import LOOPBACK, Process
from serving.processes import free_port
from tests.conftest import ROOT, SHARED_DATA, workspace_at
from tests.integration.parity_player import (
    HOLD_BARS,
    MAX_POSITION,
    RISK_PER_TRADE,
    SQUARE_OFF_MINUTES,
    decisions_for,
)
from tests.integration.told_trades import as_told, as_told_by_executor

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the recorded days are not here")
TICKS_PER_BAR = 6


@dataclass(frozen=True)
class Day:
    """A recorded day: where it lies and what of it is played."""

    source: str  #: --bars or --ticks
    path: Path
    day: str
    symbols: str

    def replay(self) -> Replay:
        choice = Choice(days_asked(self.day), symbols_asked(self.symbols))
        return (replay_bars if self.source == "--bars" else replay_ticks)(self.path, choice)

    @property
    def arguments(self) -> list[str]:
        return [self.source, str(self.path), "--days", self.day, "--symbols", self.symbols]


BARS = Day("--bars", SHARED_DATA / "intraday" / "1min", "2023-04-20", "HDFCBANK,ICICIBANK,SBIN,AXISBANK")
TICKS = Day("--ticks", SHARED_DATA / "ticks" / "ticks_2021-05-17_to_21.parquet", "2021-05-20", "RELIANCE,HDFCBANK,INFY")
FROM = "2021-05-20 14:15"  #: of the ticks that are played; the whole day takes more than two minutes
WHOLE_DAY = "TRADESAGE_WHOLE_DAY"  #: set in the environment, all ticks of the day are played


def executed(day: Day, folder: Path) -> dict:
    """The day through the real exchange and an executor session, both processes of their own."""
    paths, _ = workspace_at(folder, {"exchange.ticks_per_bar": TICKS_PER_BAR})
    port, out = free_port(), folder / "told.json"
    command = (sys.executable, "-m", "serving.exchange", "--root", str(paths.root), "--port", str(port))
    exchange = Process(
        "exchange", (*command, *day.arguments), port=port, health_url=f"http://{LOOPBACK}:{port}/paper/status",
        env={}, folder=ROOT, log_folder=folder,
    )  # fmt: skip
    player = (sys.executable, "-m", "tests.integration.parity_player", f"http://{LOOPBACK}:{port}")
    with exchange.start():
        exchange.wait_until_healthy()
        session = Process(
            "session", (*player, credential("exchange_admin_token"), "1min", str(out)), port=free_port(),
            health_url="", env={}, folder=ROOT, log_folder=folder,
        )  # fmt: skip
        with session.start():
            assert session.wait(240) == 0, session.tail(30)
    return json.loads(out.read_text(encoding="utf-8"))


def backtested(day: Day, *, with_tape: bool) -> Backtest:
    """The same day through the backtest."""
    params = load_params(ROOT / "params.yaml")
    replay = day.replay()
    panel = panel_of(replay)
    rules = Rules(
        opening_equity_inr=params.exchange.opening_cash_inr,
        fills=rules_from(params).fills,
        max_gross=1.0,
        risk_per_trade=RISK_PER_TRADE,
        max_position=MAX_POSITION,
        hold_bars=HOLD_BARS,
        square_off_minutes=SQUARE_OFF_MINUTES,
    )
    tape = None
    if with_tape:
        market = replay.market(TICKS_PER_BAR, params.exchange.seed)
        tape = Tape(tape_of(market), exits_from(params.executor.exit), MOST_RESIZES)
    first, last = int(panel.times[0]), int(panel.times[-1])
    return run_backtest(panel, decisions_for(panel.table), rules, first, last, tape)


def panel_of(replay: Replay) -> Panel:
    """The played day's bars as the backtest's panel, without features."""
    played = {day.day for day in replay.days}
    frames = []
    for instrument in replay.instruments:
        bars = replay.bars[instrument.symbol][list(BAR_COLUMNS)]
        bars = bars[bars["open_time"].dt.date.isin(played)]
        frames.append(bars.assign(session_end=pd.Timestamp(replay.days[0].close)))
    table = pd.concat(frames, ignore_index=True).astype({"session_end": frames[0]["open_time"].dtype})
    catalogue = {"hash": "none", "interval": Interval.MIN_1.value, "features": []}
    return Panel(table, {i.symbol: i for i in replay.instruments}, Interval.MIN_1, catalogue)


@pytest.fixture(scope="module", params=["bars", "ticks"])
def day(request, tmp_path_factory) -> Day:
    if request.param == "bars":
        return BARS
    if os.environ.get(WHOLE_DAY):
        return TICKS
    rows = pd.read_parquet(TICKS.path)
    path = tmp_path_factory.mktemp("ticks") / "afternoon.parquet"
    rows[(rows["timestamp"] >= FROM) & (rows["timestamp"] < "2021-05-21")].to_parquet(path)
    return replace(TICKS, path=path)


@pytest.fixture(scope="module")
def tape(day) -> Backtest:
    return backtested(day, with_tape=True)


def test_the_executor_over_the_exchange_does_to_the_paisa_what_the_backtest_on_the_tape_does(day, tape, tmp_path):
    told = executed(day, tmp_path)

    expected = {key(trade.outcome): as_told(trade.outcome) for trade in tape.trades}
    found = {(o["symbol"], o["entered_at"]): as_told_by_executor(o) for o in told["outcomes"]}
    assert len(found) > (90 if day is BARS else 8)
    assert found == expected
    assert Decimal(told["cash"]) == Decimal(told["cash_exchange"]) == tape.cash
    assert told["differences"] == []
    assert [alarm for alarm in told["alarms"] if "rmssquareoff" not in alarm] == []


def test_every_difference_of_the_backtest_on_bars_has_a_cause_and_they_add_up_to_the_paisa(day, tape, capsys):
    bars = backtested(day, with_tape=False)

    table = differences(bars, tape)

    with capsys.disabled():
        print(f"\n{day.source[2:]} of {day.day}: {len(bars.trades)} trades on bars, {len(tape.trades)} on the tape")
        for cause, (count, inr) in sorted(table.items()):
            print(f"  {cause:<58}{count:>5}{inr:>12}")
    assert sum(inr for _, inr in table.values()) == tape.cash - bars.cash
    assert sum(count for count, _ in table.values()) >= max(len(bars.trades), len(tape.trades))


def key(outcome: Outcome) -> tuple[str, str]:
    return outcome.symbol, str(outcome.entered_at)


def differences(bars: Backtest, tape: Backtest) -> dict[str, tuple[int, Decimal]]:
    """Of each cause how many trades differ by it, and by how many rupees the tape is better than the bars."""
    on_bars = {(t.outcome.symbol, t.entry_row): t.outcome for t in bars.trades}
    on_tape = {(t.outcome.symbol, t.entry_row): t.outcome for t in tape.trades}
    counts: dict[str, int] = defaultdict(int)
    rupees: dict[str, Decimal] = defaultdict(Decimal)
    for place in on_bars.keys() | on_tape.keys():
        one, other = on_bars.get(place), on_tape.get(place)
        cause = cause_of(one, other)
        counts[cause] += 1
        rupees[cause] += (other.net_inr if other else 0) - (one.net_inr if one else 0)
    assert rupees["none"] == 0
    return {cause: (counts[cause], rupees[cause]) for cause in counts}


def cause_of(bars: Outcome | None, tape: Outcome | None) -> str:
    """Why a trade went another way on bars; an assertion fails where no cause is known."""
    if bars is None or tape is None:
        return "the trade before ended in another bar: only " + ("on the tape" if bars is None else "on bars")
    if tape.charges["brokerage"] - bars.charges["brokerage"] >= 50:
        return "the recording stops: closed by the broker, for its fee"
    if bars.exit_reason is not tape.exit_reason:
        return f"way inside of a bar: {bars.exit_reason.value} on bars, {tape.exit_reason.value} on the tape"
    if bars.quantity != tape.quantity:
        small = abs(bars.quantity - tape.quantity) <= 0.02 * bars.quantity
        return "size follows equity" if small else "entry: its share of each tick, and a stop that follows its fills"
    if bars.exit_price != tape.exit_price and bars.exit_reason is ExitReason.TARGET:
        return "target: seen on a tick, left on the next by a limit"
    if bars.exit_price != tape.exit_price and bars.exit_reason is ExitReason.STOP:
        return "stop: on the way between two ticks, or after a jump"
    if bars.exit_price != tape.exit_price:
        return "exit at an open: a limit that is met tick by tick"
    if bars.entry_price != tape.entry_price:
        return "entry: met tick by tick"
    assert bars.net_inr == tape.net_inr, (bars, tape)
    return "none"
