"""PostgreSQL that hangs is one that refuses: the first call waits for its limit, the notes go to the file."""

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest

from pipelines.deadlines import within
from pipelines.domain.errors import AlreadyRunning, JournalAway
from pipelines.domain.orders import IntentStatus, OrderStatus, OrderType, Purpose
from pipelines.journal import journal_at
from pipelines.journal.connecting import PROMPT
from pipelines.journal.journal import Journal
from pipelines.journal.postgres import database_url
from pipelines.journal.spool import SpooledJournal
from tests.hanging import Network, backends, postmaster, stopped, table_locked
from tests.unit.executor.test_session import Market
from tests.unit.executor.test_unseen_orders import ends_without_a_fill, fills_after_all, ticking
from tests.unit.journal.records import NOON, a_decision, a_fill, an_intent, an_order

FIRST_S = 0.9  #: the first call's limit, and what a busy machine adds to it
AT_ONCE_S = 0.2


@pytest.fixture
def url(own_postgres, request):
    """Whole sessions are played by one account's name, so each has a database of its own."""
    played = getattr(request, "param", "")
    url = database_url(f"journal_hangs_{played.replace(' ', '_')}")
    journal_at(url).close()
    return url


@pytest.fixture
def network(url):
    network = Network(url)
    yield network
    network.close()


@pytest.fixture
def journal(network, tmp_path):
    journal = SpooledJournal(Journal(network.url, PROMPT), tmp_path, retry_s=0.05)
    yield journal
    journal.close()


@contextmanager
def hang(kind: str, url: str, network: Network):
    with ExitStack() as stack:
        match kind:
            case "lock on orders":
                stack.enter_context(table_locked(url))
            case "stopped backend":
                stack.enter_context(stopped(backends(url)))
            case "stopped server":
                stack.enter_context(stopped([*backends(url), postmaster()]))
            case "swallowed packets":
                network.swallows = True
                stack.callback(setattr, network, "swallows", False)
        yield


HANGS = ("lock on orders", "stopped backend", "stopped server", "swallowed packets")


def seconds(call, *arguments, **named) -> float:
    began = time.monotonic()
    call(*arguments, **named)
    return time.monotonic() - began


def recovered(journal, account: str, patience_s: float = 15.0) -> bool:
    deadline = time.monotonic() + patience_s
    while not journal.recover(account):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("kind", HANGS)
def test_notes_go_to_the_file_while_postgresql_hangs(journal, url, network, kind):
    account = f"A-{kind.replace(' ', '-')}"
    with journal.writer_lock(account):
        with hang(kind, url, network):
            first = seconds(journal.record_order, account, an_order())
            second = seconds(journal.commit_intent, account, an_intent(intent_id=f"stop {kind}", purpose=Purpose.STOP))
            third = seconds(journal.advance_intent, f"stop {kind}", IntentStatus.SENT, NOON)
            away = journal.away
        back = recovered(journal, account)

        assert away is not None
        assert first < FIRST_S
        assert second < AT_ONCE_S
        assert third < AT_ONCE_S
        assert back
        assert journal.orders(account) == [an_order()]
        assert [intent.status for intent in journal.intents(account)] == [IntentStatus.SENT]


@pytest.mark.parametrize("kind", HANGS)
def test_a_hang_in_one_transaction_takes_one_limit(journal, url, network, kind):
    account = f"B-{kind.replace(' ', '-')}"
    with journal.writer_lock(account):
        with hang(kind, url, network):
            began = time.monotonic()
            with journal.together():
                journal.record_order(account, an_order())
                journal.record_fill(account, a_fill())
                journal.record_order_event(account, "1", "seen", {}, NOON)
            took = time.monotonic() - began
        back = recovered(journal, account)

        assert took < FIRST_S
        assert back
        assert journal.fills(account) == [a_fill()]


@pytest.mark.parametrize("kind", HANGS)
def test_reads_and_entries_are_refused_at_once_while_it_hangs(journal, url, network, kind):
    account = f"C-{kind.replace(' ', '-')}"
    with journal.writer_lock(account):
        with hang(kind, url, network):
            journal.record_order(account, an_order())
            began = time.monotonic()
            for _ in range(20):
                with pytest.raises(JournalAway):
                    journal.halt_events(account)
                with pytest.raises(JournalAway):
                    journal.record_decision(account, a_decision(), 1.0)
            took = time.monotonic() - began
        back = recovered(journal, account)

        assert took < AT_ONCE_S
        assert back
        assert journal.halt_events(account) == []


def test_each_try_while_it_hangs_is_short_and_pauses_grow(journal, url, network):
    journal._retry_s = journal._pause_s = 0.1
    with journal.writer_lock("D"), hang("stopped server", url, network):
        journal.record_order("D", an_order())
        tries = []
        deadline = time.monotonic() + 4.0
        while time.monotonic() < deadline:
            took = seconds(journal.recover, "D")
            tries += [took] if took > 0.1 else []  # it waited

        assert max(tries) < FIRST_S
        assert len(tries) <= 5


def test_a_lost_connection_that_still_holds_the_lock_is_no_other_executor(journal, url, network):
    with journal.writer_lock("E"):
        with stopped(backends(url)):
            journal.record_order("E", an_order())
            tried = [journal.recover("E") for _ in range(3)]
            with pytest.raises(AlreadyRunning), Journal(url, PROMPT).writer_lock("E"):
                pass
        back = recovered(journal, "E")

    assert tried == [False, False, False]
    assert back


def test_another_writer_is_told_after_an_outage(journal, url):
    other = Journal(url, PROMPT)
    with journal.writer_lock("F"):
        journal._journal._writer.invalidate()
        time.sleep(0.2)
        with other.writer_lock("F"), pytest.raises(AlreadyRunning):
            journal.away = "lost"
            journal.recover("F")


def test_whole_tables_are_not_waited_for_while_it_hangs(url, network):
    journal = Journal(network.url, PROMPT)
    journal.orders("G")
    network.swallows = True

    began = time.monotonic()
    for read in (journal.orders, journal.fills):
        with pytest.raises(JournalAway):
            read("G")
    took = time.monotonic() - began

    network.swallows = False
    journal.close()
    assert took < 2 * FIRST_S


def test_a_patient_program_gives_up_on_a_server_that_never_answers(network):
    journal = Journal(network.url)
    network.swallows = True
    began = time.monotonic()

    with pytest.raises(JournalAway), within(1.0):
        journal.audit("test", "asks", "nothing", {}, datetime.now(UTC))

    network.swallows = False
    journal.close()
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(("url", "kind"), [(kind, kind) for kind in HANGS], indirect=["url"])
def test_a_fill_is_protected_within_a_second_while_it_hangs(journal, url, network, kind):
    with journal.writer_lock("T1"):
        market = Market(journal=journal)
        market.decides(quantity=10)
        with hang(kind, url, network):
            took = seconds(market.trades, "100.00")
            protected = market.working
            later = [seconds(market.trades, price) for price in ("100.10", "100.20", "105.00", "105.10")]
            alarms = market.session.alarms.on()
        flat = market.session.trades == {}
        back = recovered(journal, "T1")
        market.trades("105.20")
        outcomes = journal.outcomes("T1")
        over = market.session.alarms.on()

    assert took < 1.0
    assert protected == [(OrderType.SL_M, 10)]
    assert sum(later) < 2 * FIRST_S, "nothing but a try now and then waits"
    assert flat, "the target was not missed"
    assert any("nothing is entered: the journal cannot be written" in alarm for alarm in alarms)
    assert back
    assert len(outcomes) == 1
    assert over == []


@pytest.mark.parametrize(("url", "kind"), [(f"late {kind}", kind) for kind in HANGS], indirect=["url"])
def test_a_fill_shown_after_its_cancellation_is_protected_within_a_second_while_it_hangs(journal, url, network, kind):
    with journal.writer_lock("T1"):
        market = Market(journal=journal)
        ends_without_a_fill(market, OrderStatus.CANCELLED)
        with hang(kind, url, network):
            fills_after_all(market, 10, in_order_book=True)
            took = seconds(ticking, market, "100.00", 2)
            protected = market.working
        back = recovered(journal, "T1")
        market.trades("97.00")
        outcomes = journal.outcomes("T1")

    assert took < 1.0
    assert protected == [(OrderType.SL_M, 10)]
    assert back
    assert [outcome.quantity for outcome in outcomes] == [10]


PREDECESSOR = """
import sys, time
from pathlib import Path
from pipelines.journal.connecting import PROMPT
from pipelines.journal.journal import Journal
from pipelines.journal.spool import SpooledJournal
with SpooledJournal(Journal(sys.argv[1], PROMPT), Path(sys.argv[2])).writer_lock("H"):
    print("holds the lock", flush=True)
    time.sleep(60)
"""


def test_a_dead_executor_whose_session_hangs_is_followed_when_it_ends(url, tmp_path):
    journal = SpooledJournal(Journal(url, PROMPT), tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", PREDECESSOR, url, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as predecessor:
        assert predecessor.stdout is not None
        assert predecessor.stdout.readline() == "holds the lock\n"
        with pytest.raises(AlreadyRunning), journal.writer_lock("H"):
            pass
        with stopped(backends(url)):
            predecessor.kill()
            predecessor.wait()
            with pytest.raises(JournalAway, match="a dead executor"), journal.writer_lock("H"):
                pass

    with journal.writer_lock("H"):
        journal.record_order("H", an_order())

        assert journal.orders("H") == [an_order()]
    journal.close()


def test_the_writers_name_is_on_disk_before_it_has_the_lock(url, tmp_path, monkeypatch):
    inner = Journal(url, PROMPT)
    names: list[str] = []

    def refused(account: str):
        names.append((tmp_path / "N.writer").read_text())
        raise AlreadyRunning(account)

    monkeypatch.setattr(inner, "writer_lock", refused)
    journal = SpooledJournal(inner, tmp_path)

    with pytest.raises(AlreadyRunning), journal.writer_lock("N"):
        pass

    assert names == [inner.name]
    inner.close()


def test_a_lock_on_our_own_lost_connection_is_waited_for_not_taken_for_anothers(url, tmp_path):
    journal = SpooledJournal(Journal(url, PROMPT), tmp_path, retry_s=0.05)
    with journal.writer_lock("L"), stopped(backends(url)):
        journal.record_order("L", an_order())
        assert journal.away is not None
        with pytest.raises(JournalAway):
            journal.accounts()

    with journal.writer_lock("L"):
        assert journal.orders("L") == [an_order()]
