"""One executor session over a real exchange, deciding by a fixed rule; what became of it is written down.

A process of its own, since the ticker's Twisted reactor can run only once in a process:
`python -m tests.integration.parity_player URL ADMIN_TOKEN INTERVAL OUT [ACTIONS [PLAN [LIMITS]]]`. On daily bars it
trades for delivery, and knows the corporate actions of the table ACTIONS. PLAN names one of `PLANS`, LIMITS are
risk limits as JSON that take the place of those of `params.yaml`.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import IST, Interval
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import Product
from pipelines.domain.signals import Action, Decision, FeatureRow, Side
from pipelines.policy.sizing import size_position, stop_and_target

RISK_PER_TRADE, MAX_POSITION, HOLD_BARS, SQUARE_OFF_MINUTES = 0.01, 0.08, 12, 20
HOLD_DAYS = 1000  #: of delivery: no trade ends by its time barrier


@dataclass(frozen=True)
class Judgement:
    """What the rule says of one bar's close."""

    action: Action
    side: Side
    stop_distance: float
    target_distance: float


def judge(symbol: str, close_time: datetime) -> Judgement:
    """The rule: drawn from the symbol and the time, so that both sides need nothing but these."""
    dice = hashlib.sha256(f"{symbol} {close_time:%Y-%m-%d %H:%M}".encode()).digest()
    return Judgement(
        Action.TAKE if dice[0] < 40 else Action.SKIP,
        Side.BUY if dice[1] % 2 else Side.SELL,
        0.0008 + dice[2] / 255 * 0.002,
        0.0008 + dice[3] / 255 * 0.003,
    )


def judge_for_delivery(symbol: str, close_time: datetime) -> Judgement:
    """Buy at every close, with a stop and a target that are far away."""
    return Judgement(Action.TAKE, Side.BUY, 0.1, 0.5)


def judge_with_far_levels(symbol: str, close_time: datetime) -> Judgement:
    """The drawn rule with stop and target so far away that a trade ends by time alone."""
    return replace(judge(symbol, close_time), stop_distance=0.08, target_distance=0.08)


def judge_without_regard_for_money(symbol: str, close_time: datetime) -> Judgement:
    """Buy for delivery at every other close, with a stop and a target that nothing reaches."""
    dice = hashlib.sha256(f"{symbol} {close_time:%Y-%m-%d} money".encode()).digest()
    return Judgement(Action.TAKE if dice[0] < 160 else Action.SKIP, Side.BUY, 0.11, 0.5)


Judge = Callable[[str, datetime], Judgement]


@dataclass(frozen=True)
class Plan:
    """A rule, how long it holds in bars, and how large its positions are as shares of equity."""

    judge: Judge
    hold_bars: int = HOLD_BARS
    risk_per_trade: float = RISK_PER_TRADE
    max_position: float = MAX_POSITION


PLANS = {
    "drawn": Plan(judge),
    "delivery": Plan(judge_for_delivery, HOLD_DAYS),
    "far": Plan(judge_with_far_levels),
    "money": Plan(judge_without_regard_for_money, 2, 10.0, 0.23),
    "leveraged": Plan(judge_with_far_levels, HOLD_BARS, 100.0, 1.7),
}


class Rule:
    """Speaks as a policy does."""

    def __init__(self, instruments: dict[str, Instrument], plan: Plan):
        self._instruments, self._plan = instruments, plan

    def decide(self, rows: Sequence[FeatureRow], equity: Decimal):
        from serving.executor.policy_client import Answer

        return Answer(tuple(self._decision(row, equity) for row in rows), "rule", 0.1)

    def _decision(self, row: FeatureRow, equity: Decimal) -> Decision:
        judged, instrument = self._plan.judge(row.symbol, row.close_time), self._instruments[row.symbol]
        quantity = size_position(
            equity_inr=float(equity),
            price=row.close,
            stop_distance=judged.stop_distance,
            risk_per_trade=self._plan.risk_per_trade,
            max_position=self._plan.max_position,
            action=judged.action,
        )
        stop, target = stop_and_target(
            row.close, judged.side.sign, judged.stop_distance, judged.target_distance, instrument
        )
        return Decision(
            symbol=row.symbol,
            close_time=row.close_time,
            action=judged.action,
            side=judged.side,
            quantity=quantity,
            reference_price=Decimal(repr(row.close)),
            stop=stop,
            target=target,
            hold_bars=self._plan.hold_bars,
            signal=0.5 * judged.side.sign,
            probability=0.6,
            expected_return=0.001,
            stop_risk=0.4,
            views=(),
            reasons=("rule",),
            policy_version="rule",
            catalogue_hash="none",
            regime="range",
        )


class Closes:
    """Rows that carry a close and nothing else."""

    def __init__(self, instruments: dict[str, Instrument]):
        self._instruments = instruments

    def update(self, closed) -> list[FeatureRow]:
        return [
            FeatureRow(symbol, closed.close_time, bar.close, self._instruments[symbol].tick_size, 1, "none", {})
            for symbol, bar in sorted(closed.bars.items())
        ]


def main(
    url: str, admin_token: str, interval: str, out: str, actions: str = "", plan_name: str = "", limits_json: str = "{}"
) -> None:
    from pipelines.credentials import credential
    from pipelines.ingest.kinds import empty, known_until
    from pipelines.ingest.newest_actions import KnownActions
    from pipelines.journal.memory import MemoryJournal
    from pipelines.params import load_params
    from pipelines.tables import read_table
    from serving.executor.bar_builder import BarBuilder, session_grid
    from serving.executor.broker import KiteBroker
    from serving.executor.daemon import exits_from, limits_from
    from serving.executor.feed import Feed, OrderUpdate
    from serving.executor.kite_client import client
    from serving.executor.login import paper_log_in
    from serving.executor.paper import PaperMarket
    from serving.executor.session import Frame, Session, Terms
    from tests.conftest import ROOT

    paper = PaperMarket(url, admin_token)
    kite = client(credential("kite_api_key"), url)
    token = paper_log_in(url, kite.api_key, credential("kite_api_secret"), datetime.now(IST))
    kite.set_access_token(token.access_token)
    instruments = {
        row["tradingsymbol"]: Instrument(
            row["tradingsymbol"],
            row["instrument_token"],
            Kind.STOCK,
            Decimal(str(row["tick_size"])),
            row["lot_size"],
            "",
            True,
        )
        for row in kite.instruments("NSE")
        if row["segment"] == "NSE"
    }
    executor = load_params(ROOT / "params.yaml").executor
    limits = replace(limits_from(executor), square_off=timedelta(minutes=SQUARE_OFF_MINUTES), **json.loads(limits_json))
    delivery = Interval(interval) is Interval.DAY
    table = read_table(Path(actions)) if actions else empty("actions")
    terms = Terms(
        "PARITY",
        instruments,
        Product.CNC if delivery else Product.MIS,
        limits,
        flatten_at_end=True,
        exits=exits_from(executor.exit),
        actions=lambda at: KnownActions(known_until(table, "actions", at)),
    )
    journal = MemoryJournal()
    builder = BarBuilder(session_grid(Interval(interval)))
    rule = Rule(instruments, PLANS[plan_name or ("delivery" if delivery else "drawn")])
    session = Session(
        terms,
        KiteBroker(kite),
        journal,
        builder,
        Closes(instruments),
        rule.decide,
        lambda day: bool(paper.status()["last_day"]),
    )
    session.start(datetime.fromisoformat(paper.status()["clock"]))
    feed = Feed(url.replace("http", "ws", 1), kite.api_key, {i.token: s for s, i in instruments.items()})
    feed.start(kite.access_token)
    finished, over = paper.go_on(), False
    while not over:
        event = feed.next(5.0)
        if isinstance(event, OrderUpdate):
            session.on_order_update(event.content)
        elif isinstance(event, Frame):
            session.on_frame(event)
            over = finished
            if not finished:
                finished = paper.go_on()
        elif event is None:
            raise AssertionError(f"no frame: {paper.status()}")
    differences = session.reconcile()
    told = {
        "cash": str(session.cash),
        "cash_exchange": paper.status()["cash"],
        "differences": differences,
        "alarms": session.alarms,
        "refused": [(event["rule"], event["symbol"], event["at"]) for event in journal.risk_events("PARITY")],
        "outcomes": [asdict(outcome) for outcome in journal.outcomes("PARITY")],
    }
    Path(out).write_text(json.dumps(told, default=str), encoding="utf-8")


def decisions_for(table: pd.DataFrame, judge: Judge = judge) -> pd.DataFrame:
    """The rule's judgements of every row of a panel, as the backtest wants them."""
    judged = [judge(row.symbol, row.close_time) for row in table.itertuples()]
    return pd.DataFrame(
        {
            "action": [str(one.action) for one in judged],
            "side": [one.side.sign for one in judged],
            "stop_distance": [one.stop_distance for one in judged],
            "target_distance": [one.target_distance for one in judged],
            "signal": 0.5,
            "probability": 0.6,
            "expected_return": 0.001,
            "regime": "range",
            "policy_version": "rule",
        },
        index=table.index,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
