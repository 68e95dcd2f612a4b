"""What every journal must do; run on the twin in memory and, among the integration tests, on PostgreSQL."""

import threading
import time
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.equity import first_day
from pipelines.domain.errors import AlreadyRunning, BooksDiffer, NotFound
from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.domain.orders import IntentStatus, OrderStatus
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.verdicts import Verdict
from tests.unit.journal.records import NOON, a_decision, a_fill, a_position, an_intent, an_order, an_outcome


class JournalChecks:
    """Heirs give `journal`; `account` is a new one for each test."""

    @pytest.fixture
    def account(self) -> str:
        return f"test-{uuid.uuid4().hex[:8]}"

    def test_a_decision_comes_back_as_it_was(self, journal, account):
        decision = a_decision(signal=float("nan"))

        decision_id = journal.record_decision(account, decision, 3.5, "f00d")

        found = journal.decision(decision_id)
        assert found.signal != found.signal
        assert found == a_decision(signal=found.signal)

    def test_a_bar_is_decided_once_by_a_policy(self, journal, account):
        first = journal.record_decision(account, a_decision(), 3.5)

        again = journal.record_decision(account, a_decision(quantity=99), 3.5)

        assert again == first
        assert journal.decision(first).quantity == 10
        assert journal.counts(account)["decisions"] == 1
        assert journal.last_decided(account) == NOON

    def test_what_is_noted_together_can_be_read_at_once_and_stays(self, journal, account):
        with journal.together():
            journal.record_fill(account, a_fill())
            assert not journal.record_fill(account, a_fill())

        assert journal.fills(account) == [a_fill()]

    def test_an_unknown_decision_is_named(self, journal):
        with pytest.raises(NotFound, match="nowhere"):
            journal.decision("nowhere")

    def test_an_intent_moves_along_its_arrows(self, journal, account):
        intent = an_intent(intent_id=uuid.uuid4().hex)
        journal.commit_intent(account, intent)

        journal.advance_intent(intent.intent_id, IntentStatus.SENT, NOON)
        journal.advance_intent(intent.intent_id, IntentStatus.DONE, NOON)

        assert [found.status for found in journal.intents(account)] == [IntentStatus.DONE]
        assert journal.intents(account, living=True) == []

    def test_an_intent_never_leaves_its_end(self, journal, account):
        intent = an_intent(intent_id=uuid.uuid4().hex)
        journal.commit_intent(account, intent)
        journal.advance_intent(intent.intent_id, IntentStatus.ABANDONED, NOON)

        with pytest.raises(BooksDiffer, match="is abandoned and cannot become sent"):
            journal.advance_intent(intent.intent_id, IntentStatus.SENT, NOON)

    def test_an_order_shows_the_last_that_was_seen(self, journal, account):
        journal.record_order(account, an_order())

        journal.record_order(account, an_order(status=OrderStatus.COMPLETE, filled_quantity=10))

        [found] = journal.orders(account)
        assert (found.status, found.filled_quantity) == (OrderStatus.COMPLETE, 10)

    def test_a_fill_counts_once(self, journal, account):
        assert journal.record_fill(account, a_fill())

        assert not journal.record_fill(account, a_fill())

        assert journal.fills(account) == [a_fill()]

    def test_a_position_is_open_until_its_outcome(self, journal, account):
        decision_id = journal.record_decision(account, a_decision(), 1.0)
        position = a_position(position_id=decision_id)
        journal.record_position(account, position)
        marked = position.marked(Decimal("101.00"))
        journal.record_position(account, marked)
        assert journal.open_positions(account) == [marked]

        journal.record_outcome(account, decision_id, an_outcome(decision_id=decision_id))

        assert journal.open_positions(account) == []
        assert journal.outcomes(account) == [an_outcome(decision_id=decision_id)]

    def test_the_reason_of_an_exit_is_remembered(self, journal, account):
        decision_id = journal.record_decision(account, a_decision(), 1.0)

        journal.record_position(account, a_position(position_id=decision_id, exit_reason=ExitReason.TARGET))

        assert journal.open_positions(account)[0].exit_reason is ExitReason.TARGET

    def test_accounts_do_not_see_each_other(self, journal, account):
        journal.record_fill(account, a_fill())

        assert journal.fills(f"{account}-other") == []

    def test_the_first_cash_of_an_account_stands(self, journal, account):
        journal.open_account(account, Decimal("1000000.00"), NOON)

        assert journal.open_account(account, Decimal("5.00"), NOON) == Decimal("1000000.00")

    def test_a_refusal_is_noted_with_its_figures(self, journal, account):
        journal.record_risk_event(account, Verdict("daily loss", False, 0.04, 0.03, "equity 96"), NOON, "RELIANCE")

        [found] = journal.risk_events(account)
        assert (found["rule"], found["measured"], found["limit_value"]) == ("daily loss", 0.04, 0.03)

    def test_words_that_stop_trading_come_back_in_order_and_are_audited(self, journal, account):
        halt = HaltEvent(Word.HALT, Cause.BY_HAND, "news", "asha@desk", NOON)
        resume = HaltEvent(Word.RESUME, Cause.BY_HAND, "read it", "asha@desk", NOON + timedelta(minutes=1), forced=True)
        before = len(journal.audit_entries())

        journal.record_halt(account, halt)
        journal.record_halt(account, resume)

        numbered = journal.halt_events(account)
        assert [event for _, event in numbered] == [halt, resume]
        assert journal.halt_events(account, after=numbered[0][0]) == numbered[1:]
        assert journal.halt_events(f"{account}-other") == []
        told = journal.audit_entries()[before:]
        assert [(entry.actor, entry.action, entry.subject) for entry in told] == [
            ("asha@desk", "trading: halt", account),
            ("asha@desk", "trading: resume", account),
        ]

    def test_the_last_day_of_equity_stands_with_its_peak(self, journal, account):
        friday = first_day(Decimal("1000000.00"), NOON)
        monday = friday.marked(Decimal("990000.00"), NOON + timedelta(days=3))

        journal.record_equity(account, friday)
        journal.record_equity(account, monday)

        assert journal.last_equity(account) == monday
        assert journal.last_equity(f"{account}-other") is None

    def test_accounts_are_named(self, journal, account):
        journal.open_account(account, Decimal("1000000.00"), NOON)

        assert account in journal.accounts()

    def test_a_second_writer_is_refused_by_name(self, journal, account):
        with journal.writer_lock(account), pytest.raises(AlreadyRunning, match=account), journal.writer_lock(account):
            pass

        with journal.writer_lock(account):
            pass

    def test_a_ladder_move_is_noted_and_audited(self, journal, account):
        before = len(journal.audit_entries())

        journal.record_policy_event(
            model=account,
            version="3",
            from_stage=None,
            to_stage="paper",
            actor="asha",
            reason="first",
            evidence={"sharpe": 1.2},
            at=NOON,
        )

        [event] = journal.policy_events(account)
        assert (event["to_stage"], event["actor"], event["evidence"]) == ("paper", "asha", {"sharpe": 1.2})
        assert len(journal.audit_entries()) == before + 1
        assert journal.audit_broken_at() is None

    def test_a_refused_move_is_noted_with_who_and_why_and_audited(self, journal, account):
        before = len(journal.audit_entries())

        journal.record_policy_refusal(
            model=account,
            version="3",
            asked="canary",
            actor="reviewer",
            reason="not yet",
            evidence={"run": "promotion/7"},
            at=NOON,
        )

        [refusal] = journal.policy_refusals(account)
        assert (refusal["version"], refusal["asked"], refusal["actor"]) == ("3", "canary", "reviewer")
        assert (refusal["reason"], refusal["evidence"], refusal["at"]) == ("not yet", {"run": "promotion/7"}, NOON)
        [entry] = journal.audit_entries()[before:]
        assert (entry.actor, entry.action, entry.subject) == ("reviewer", "policy refused", f"{account} 3")
        assert journal.policy_events(account) == []

    def test_decisions_count_for_the_stage_they_were_served_from(self, journal, account):
        policy, later = f"policy-{account}", NOON - timedelta(minutes=5)
        for stage, symbol, close in (("paper", "TCS", NOON), ("paper", "INFY", NOON), ("canary", "TCS", later)):
            decision = a_decision(symbol=symbol, close_time=close, policy_version=policy)
            journal.record_decision(account, decision, 1.0, stage=stage)

        assert journal.stage_closes(policy, "paper", NOON - timedelta(days=1)) == [NOON]
        assert journal.stage_closes(policy, "paper", NOON + timedelta(seconds=1)) == []
        assert journal.stage_closes(policy, "canary", NOON - timedelta(days=1)) == [later]
        assert journal.stage_closes("another policy", "paper", NOON - timedelta(days=1)) == []

    def test_a_decision_on_a_bar_of_the_future_counts_for_no_stage(self, journal, account):
        policy, tomorrow = f"policy-{account}", datetime.now(IST) + timedelta(days=1)
        decision = a_decision(close_time=tomorrow, policy_version=policy)
        self._close(journal, account, decision, an_outcome(policy_version=policy), "paper")

        assert journal.stage_closes(policy, "paper", NOON) == []
        assert journal.stage_trades(policy, "paper", NOON) == []

    def test_a_trade_of_a_stage_counts_once_however_often_its_bar_was_played(self, journal, account):
        policy = f"policy-{account}"
        decision = a_decision(policy_version=policy, expected_return=0.002)
        outcome = an_outcome(
            policy_version=policy, entry_slippage_inr=Decimal("0.50"), exit_slippage_inr=Decimal("-0.20")
        )
        for played in (account, f"{account}-again"):
            self._close(journal, played, decision, outcome, "paper")

        [trade] = journal.stage_trades(policy, "paper", NOON - timedelta(hours=1))

        assert (trade.symbol, trade.decided_at, trade.quantity) == ("RELIANCE", NOON, 10)
        assert (trade.net_inr, trade.slippage_inr) == (Decimal("-21.22"), Decimal("0.30"))
        assert trade.expected_return == 0.002
        assert trade.entry_value == Decimal("1000.5000")

    def _close(self, journal, account, decision, outcome, stage):
        """Record a decision served from a stage, its position and its outcome."""
        decision_id = journal.record_decision(account, decision, 1.0, stage=stage)
        journal.record_position(account, a_position(position_id=decision_id))
        journal.record_outcome(account, decision_id, replace(outcome, decision_id=decision_id))

    def test_the_newest_ladder_move_tells_whether_there_is_another(self, journal, account):
        def move(model: str) -> None:
            journal.record_policy_event(
                model=model, version="3", from_stage=None, to_stage="paper", actor="asha", reason="r", evidence={},
                at=NOON,
            )  # fmt: skip

        seen = [journal.newest_policy_event(account)]
        move(account)
        seen.append(journal.newest_policy_event(account))
        move(f"not {account}")
        seen.append(journal.newest_policy_event(account))
        move(account)
        seen.append(journal.newest_policy_event(account))

        assert seen[0] == 0 < seen[1] == seen[2] < seen[3]

    def test_only_one_at_a_time_does_what_is_exclusive(self, journal, account):
        inside, most = [], []

        def work() -> None:
            with journal.exclusive(f"work of {account}"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.05)
                inside.pop()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        with journal.exclusive(f"work of {account}"), journal.exclusive(f"other work of {account}"):
            pass

        assert most == [1, 1, 1]

    def test_each_audit_entry_carries_the_hash_before_it(self, journal):
        first = journal.audit("asha", "stopped trading", "executor", {"why": "news"}, NOON)
        journal.audit("asha", "resumed", "executor", {}, NOON + timedelta(minutes=1))

        entries = journal.audit_entries()
        assert entries[-1].previous == first
        assert journal.audit_broken_at() is None
