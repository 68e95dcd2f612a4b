from datetime import datetime, timedelta

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable
from pipelines.domain.halts import Cause, HaltEvent, Mode, Word
from pipelines.journal.memory import MemoryJournal
from serving.executor.trading_state import Trading, read_halt_file, write_halt_file

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)


def by_hand(word: Word, reason: str = "news") -> HaltEvent:
    return HaltEvent(word, Cause.BY_HAND, reason, "asha@desk", NOON)


class Flaky(MemoryJournal):
    """A journal that may be down."""

    down = False

    def record_halt(self, account, event):
        self._answer()
        super().record_halt(account, event)

    def halt_events(self, account, after=0):
        self._answer()
        return super().halt_events(account, after)

    def _answer(self):
        if self.down:
            raise ServiceUnavailable("the journal does not answer; start PostgreSQL")


@pytest.fixture
def journal():
    return Flaky()


def test_a_word_in_the_journal_is_read_at_the_next_look(journal):
    trading = Trading("T1", journal)
    journal.record_halt("T1", by_hand(Word.HALT))

    new = trading.poll(NOON)

    assert [event.reason for event in new] == ["news"]
    assert trading.mode is Mode.HALTED
    assert trading.poll(NOON) == []


def test_the_words_of_another_account_are_none_of_ours(journal):
    trading = Trading("T1", journal)
    journal.record_halt("T2", by_hand(Word.HALT))

    trading.poll(NOON)

    assert trading.may_enter().passed


def test_a_daemon_that_starts_finds_what_stood_before(journal):
    journal.record_halt("T1", by_hand(Word.FLATTEN))

    trading = Trading("T1", journal)
    trading.poll(NOON)

    assert trading.must_flatten


def test_a_refusal_names_who_and_why(journal):
    trading = Trading("T1", journal)
    journal.record_halt("T1", by_hand(Word.HALT))
    trading.poll(NOON)

    verdict = trading.may_enter()

    assert not verdict.passed
    assert verdict.evidence == "by hand: news (asha@desk)"


def test_what_the_executor_says_is_journaled_once_and_audited(journal):
    trading = Trading("T1", journal)

    assert trading.halt(Cause.STALE_FEED, "no packet for 20 s", NOON)
    assert not trading.halt(Cause.STALE_FEED, "no packet for 21 s", NOON + timedelta(seconds=1))

    [(_, event)] = journal.halt_events("T1")
    assert (event.cause, event.actor, event.reason) == (Cause.STALE_FEED, "executor", "no packet for 20 s")
    assert journal.audit_entries()[-1].action == "trading: halt"


def test_lifting_one_cause_leaves_the_others(journal):
    trading = Trading("T1", journal)
    journal.record_halt("T1", by_hand(Word.HALT))
    trading.poll(NOON)
    trading.halt(Cause.STALE_FEED, "silence", NOON)

    assert trading.lift(Cause.STALE_FEED, "packets again", NOON)

    assert set(trading.state.standing) == {Cause.BY_HAND}
    assert not trading.lift(Cause.STALE_FEED, "packets again", NOON)


def test_without_a_journal_nothing_is_entered_and_what_was_said_is_written_later(journal):
    trading = Trading("T1", journal)
    journal.down = True

    trading.halt(Cause.RECONCILIATION, "cash differs", NOON)
    assert not trading.may_enter().passed

    journal.down = False
    trading.poll(NOON)
    assert [event.cause for _, event in journal.halt_events("T1")] == [Cause.RECONCILIATION]
    assert trading.may_enter().evidence.startswith("reconciliation")


def test_a_journal_that_is_silent_stops_entries_until_it_answers(journal):
    trading = Trading("T1", journal)
    journal.down = True
    trading.poll(NOON)
    assert not trading.may_enter().passed

    journal.down = False
    trading.poll(NOON)

    assert trading.may_enter().passed


@pytest.mark.parametrize("content", ["", "{", "[]", '{"word": 5}'])
def test_any_file_called_halt_stops_trading(journal, tmp_path, content):
    file = tmp_path / "halt"
    file.write_text(content)
    trading = Trading("T1", journal, file)

    trading.poll(NOON)
    trading.poll(NOON)

    assert trading.mode is Mode.HALTED
    assert len(journal.halt_events("T1")) == 1, "it is noted once"


def test_the_file_stops_trading_while_the_journal_is_silent(journal, tmp_path):
    journal.down = True
    write_halt_file(tmp_path / "halt", by_hand(Word.FLATTEN, "get out"))
    trading = Trading("T1", journal, tmp_path / "halt")

    trading.poll(NOON)

    assert trading.must_flatten
    assert trading.state.standing[Cause.BY_HAND].actor == "asha@desk"


def test_a_file_that_asks_to_flatten_is_heard_though_a_halt_stands(journal, tmp_path):
    journal.record_halt("T1", by_hand(Word.HALT))
    trading = Trading("T1", journal, tmp_path / "halt")
    trading.poll(NOON)

    write_halt_file(tmp_path / "halt", by_hand(Word.FLATTEN))
    trading.poll(NOON)

    assert trading.must_flatten


def test_removing_the_file_does_not_resume(journal, tmp_path):
    file = tmp_path / "halt"
    file.touch()
    trading = Trading("T1", journal, file)
    trading.poll(NOON)

    file.unlink()
    trading.poll(NOON)
    assert trading.mode is Mode.HALTED

    journal.record_halt("T1", by_hand(Word.RESUME))
    trading.poll(NOON)
    assert trading.mode is Mode.TRADING


def test_the_file_says_what_was_written(tmp_path):
    write_halt_file(tmp_path / "halt", by_hand(Word.FLATTEN, "get out"))

    found = read_halt_file(tmp_path / "halt", NOON)

    assert found == by_hand(Word.FLATTEN, "get out")
