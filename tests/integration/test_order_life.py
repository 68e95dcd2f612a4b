"""The life of orders against the real exchange over HTTP: whatever comes in whatever order, the same things hold.

Hypothesis chooses decisions, ticks, faults, deaths between two lines and a person's words; the session has the turn
that its feed would give it. After every turn the exchange's own book is looked at.
"""

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pipelines.domain.bars import IST
from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.domain.orders import INTENT_NEXT
from pipelines.domain.signals import Side
from pipelines.journal.memory import MemoryJournal
from pipelines.params import load_params
from serving.exchange.deliveries import Subscriber
from serving.exchange.faults import Fault, FaultKind
from serving.exchange.packets import Mode
from serving.exchange.venue import State
from serving.executor import broker as broker_module
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.broker import KiteBroker
from serving.executor.kite_client import client
from serving.executor.limits import limits_from
from serving.executor.login import paper_log_in
from serving.executor.packet_reader import CLOCK_TOKEN, PacketReader
from serving.executor.policy_client import Answer
from serving.executor.session import Session, Terms
from tests.conftest import ROOT
from tests.torture.judge import judge
from tests.torture.play import exchange
from tests.torture.schedule import INTERVAL, PRODUCT, Schedule
from tests.torture.watch import NakedWatch
from tests.unit.journal.records import a_decision

FRAMES = st.integers(1, 6)
#: Side, shares, distance of the stop and of the target, bars to hold; None: no decision
PLAN = st.tuples(
    st.sampled_from(Side), st.integers(20, 150), st.floats(0.001, 0.006), st.floats(0.001, 0.008), st.integers(1, 3)
)
PLANS = st.tuples(PLAN, PLAN | st.none(), PLAN | st.none())  #: one for each instrument
ACCOUNT = "order-life"
KEYS = "key", "secret", "admin"
EVENT_FAULTS = (FaultKind.EVENT_DUPLICATE, FaultKind.EVENT_LATE, FaultKind.EVENT_REORDER, FaultKind.EVENT_LOST)
CALL_FAULTS = (FaultKind.ANSWER_LOST, FaultKind.RESET_BEFORE, FaultKind.SERVER_ERROR, FaultKind.TOO_MANY_REQUESTS)
ORDER_FAULTS = (FaultKind.STOP_REJECTED, FaultKind.FILL_THEN_CANCEL)


def a_fault(kind: FaultKind, count: int) -> Fault:
    return Fault(kind, route="POST /orders" if kind in CALL_FAULTS and count > 1 else None, count=count)


FAULTS = st.builds(a_fault, st.sampled_from((*CALL_FAULTS, *EVENT_FAULTS, *ORDER_FAULTS)), st.integers(1, 3))


class Death(BaseException):
    """The daemon dies here; nothing may catch it."""


class Silent:
    """Features of nothing: decisions come from the rules."""

    def update(self, closed):
        return []


class Wire:
    """A ticker's connection that keeps what was sent."""

    def __init__(self):
        self.sent: list[str | bytes] = []

    async def send_text(self, data: str) -> None:
        self.sent.append(data)

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)

    async def close(self, code: int = 1000) -> None:
        self.sent.clear()


class OrderLife(RuleBasedStateMachine):
    lives: ClassVar[list[tuple[int, int, int]]] = []  #: decisions, faults and deaths of each example

    @initialize(seed=st.integers(1, 10_000), volume=st.sampled_from([1_500, 6_000, 40_000]), plans=PLANS, fault=FAULTS)
    def open_the_exchange(self, seed, volume, plans, fault):
        self.schedule = Schedule(seed, bars=8, instruments=3, volume=volume, pace=None)
        self.stack, self.watch, self.journal = ExitStack(), NakedWatch(), MemoryJournal()
        self.address, conductor, self.skip = self.stack.enter_context(exchange(self.schedule, KEYS, self.watch))
        self.venue, self.wire = conductor.venue, Wire()
        tokens = [*(instrument.token for instrument in self.schedule.traded), CLOCK_TOKEN]
        conductor.subscribers.add(Subscriber(self.wire, dict.fromkeys(tokens, Mode.FULL)))
        self.deadly, self.decisions, self.deaths, self.troubled = None, 0, 0, False
        self.statuses = {}
        self.live()
        self.play(2)  # the opening
        self.policy_decides_and_the_market_plays(plans, fault, 1)

    # --- what may happen ---

    @rule(plans=PLANS, fault=FAULTS | st.none(), frames=FRAMES)
    def policy_decides_and_the_market_plays(self, plans, fault, frames):
        if fault is not None:  # asked for beside orders that may meet it
            self.venue.faults.arm(fault)
        for instrument, plan in zip(self.schedule.traded, plans, strict=True):
            if plan is not None and self.venue.state is State.PLAYING:
                self.decide(instrument, *plan)
        self.play(frames)

    @rule(frames=FRAMES)
    def daemon_dies(self, frames):
        self.live()
        self.play(frames)

    @rule(when=st.sampled_from(["before the call", "after the call"]), missed=st.integers(0, 4), frames=FRAMES)
    def daemon_dies_at_its_next_order_call(self, when, missed, frames):
        self.deadly = when, missed
        self.play(frames)

    @rule(word=st.sampled_from(Word), frames=FRAMES)
    def person_says(self, word, frames):
        self.journal.record_halt(ACCOUNT, HaltEvent(word, Cause.BY_HAND, "a test", "somebody", self.venue.clock, True))
        self.play(frames)

    # --- what always holds ---

    @invariant()
    def every_order_has_an_intent_and_no_intent_two_orders(self):
        tags = [o.request.tag for o in self.venue.book.of_day(self.venue.session.day) if o.placed_by == "PAPER1"]

        assert len(tags) == len(set(tags))
        assert set(tags) <= {intent.tag for intent in self.journal.intents(ACCOUNT)}

    @invariant()
    def intents_move_along_their_arrows_only(self):
        for intent in self.journal.intents(ACCOUNT):
            before = self.statuses.get(intent.intent_id, intent.status)
            assert intent.status in _reachable(before)
            self.statuses[intent.intent_id] = intent.status

    @invariant()
    def no_share_is_bare_after_a_turn_in_which_the_broker_answered(self):
        assert self.troubled or self.watch.naked() == []

    def teardown(self):
        try:
            self.venue.faults.disarm()
            self.deadly = None
            self.lives.append((self.decisions, self.venue.faults.told()["injected"], self.deaths))
            while self.venue.state is not State.FINISHED:
                self.turn()
            self.live()
            assert self.session.reconcile() == []
            assert judge(self.venue, self.journal, ACCOUNT).sentences == []
        finally:
            self.stack.close()

    # --- how it is done ---

    def decide(self, instrument, side, quantity, away, beyond, hold_bars):
        last = float(self.venue.board.quotes[instrument.symbol].last_price)
        self.decisions += 1
        decision = a_decision(
            symbol=instrument.symbol,
            close_time=self.venue.clock + timedelta(microseconds=self.decisions),
            side=side,
            quantity=quantity,
            reference_price=instrument.to_tick(last),
            stop=instrument.to_tick(last * (1 - away * side.sign)),
            target=instrument.to_tick(last * (1 + beyond * side.sign)),
            hold_bars=hold_bars,
        )
        self.session.pending.append((self.journal.record_decision(ACCOUNT, decision, 1.0), decision))

    def play(self, frames):
        for _ in range(frames):
            self.turn()

    def live(self):
        """A fresh daemon takes up what journal and exchange hold."""
        before = self._injected()
        self.deaths += 1
        while True:
            try:
                self._start()
                break
            except broker_module.BrokerSilent:
                continue
            except Death:
                self.skip(self._missed())
        self.troubled = self._injected() != before

    def turn(self):
        """The market makes a step, and the session has its turn."""
        if self.venue.state is State.FINISHED:
            return
        before = self._injected()
        try:
            self.skip(1)
            sent, self.wire.sent = self.wire.sent, []
            for message in sent:
                if isinstance(message, str):
                    self.session.on_order_update(json.loads(message)["data"])
                elif (frame := self.reader.read(message)) is not None:
                    self.session.on_frame(frame)
            self.troubled = self._injected() != before or self.session.broker_silent
        except Death:
            self.skip(self._missed())
            self.live()

    def _start(self):
        kite = client(KEYS[0], self.address)
        kite.set_access_token(paper_log_in(self.address, *KEYS[:2], datetime.now(IST)).access_token)
        for name in ("place_order", "modify_order", "cancel_order"):
            setattr(kite, name, self._deadly(getattr(kite, name)))
        instruments = {instrument.symbol: instrument for instrument in self.schedule.traded}
        limits = limits_from(load_params(ROOT / "params.yaml").executor)
        terms = Terms(ACCOUNT, instruments, PRODUCT, replace(limits, max_position=Decimal("0.5")), flatten_at_end=True)
        self.reader = PacketReader({instrument.token: instrument.symbol for instrument in self.schedule.traded})
        self.session = Session(
            terms,
            KiteBroker(kite, product=PRODUCT),
            self.journal,
            BarBuilder(session_grid(INTERVAL)),
            Silent(),
            lambda rows, equity: Answer((), "p", 1.0),
            lambda day: True,
        )
        self.session.start(self.venue.clock)

    def _deadly(self, call):
        def asked(*args, **named):
            if self.deadly is not None and self.deadly[0] == "before the call":
                raise Death
            answer = call(*args, **named)
            if self.deadly is not None:
                raise Death
            return answer

        return asked

    def _missed(self) -> int:
        assert self.deadly is not None
        (_, missed), self.deadly = self.deadly, None
        return missed

    def _injected(self) -> int:
        """Faults of calls and orders so far; lost and late updates are no excuse."""
        counts = self.venue.faults.told()["counts"]
        return sum(counts[kind.value] for kind in (*CALL_FAULTS, *ORDER_FAULTS))


def _reachable(status):
    """Where an intent may stand after some moves."""
    found, ahead = {status}, [status]
    while ahead:
        new = INTENT_NEXT[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_orders_live_by_the_rules_whatever_happens(monkeypatch):
    monkeypatch.setattr(broker_module, "PAUSE_S", 0.005)  # the market waits; nobody else has to
    monkeypatch.setattr(broker_module, "ORDER_PAUSE_S", 0.005)
    monkeypatch.setattr(broker_module, "TOO_MANY_S", 0.005)
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

    run_state_machine_as_test(
        OrderLife,
        settings=settings(
            max_examples=40, stateful_step_count=12, deadline=None, derandomize=True, suppress_health_check=checks
        ),
    )

    decisions, faults, deaths = (sum(figures) for figures in zip(*OrderLife.lives, strict=True))
    assert min(decisions, faults, deaths) >= 20, (decisions, faults, deaths)
