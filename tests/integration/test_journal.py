import threading

import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from pipelines.domain.errors import AlreadyRunning, ServiceUnavailable
from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.domain.orders import IntentStatus, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Action, Side
from pipelines.journal import journal_at
from pipelines.journal.journal import Journal
from pipelines.journal.postgres import database_url
from tests.unit.journal.checks import JournalChecks
from tests.unit.journal.records import NOON, a_fill


@pytest.fixture(scope="module")
def url(own_postgres):
    return database_url("journal_checks")


class TestPostgresJournal(JournalChecks):
    @pytest.fixture(scope="class")
    def journal(self, url):
        journal = journal_at(url)
        yield journal
        journal.close()


def test_migrating_twice_changes_nothing(url):
    journal_at(url).close()

    journal_at(url).close()

    with create_engine(url).connect() as connection:
        assert connection.execute(text("select version_num from alembic_version")).scalars().all() == ["0005"]


def test_the_enums_say_the_words_of_the_domain(url):
    journal_at(url).close()
    enums = {
        "side": Side,
        "action": Action,
        "purpose": Purpose,
        "order_type": OrderType,
        "product": Product,
        "intent_status": IntentStatus,
        "order_status": OrderStatus,
        "exit_reason": ExitReason,
        "halt_word": Word,
        "halt_cause": Cause,
    }

    with create_engine(url).connect() as connection:
        found = {
            name: connection.execute(text(f"select enum_range(null::{name})::text[]")).scalar_one() for name in enums
        }

    assert found == {name: [member.value for member in enum] for name, enum in enums.items()}


@pytest.mark.parametrize("statement", ["update audit set actor = 'x'", "delete from audit", "truncate audit"])
def test_the_audit_table_refuses_changes(url, statement):
    journal = journal_at(url)
    journal.audit("asha", "noted", "something", {}, NOON)

    with pytest.raises(DatabaseError, match="append-only"), create_engine(url).begin() as connection:
        connection.execute(text(statement))

    assert journal.audit_broken_at() is None


@pytest.mark.parametrize("statement", ["update halts set actor = 'x'", "delete from halts", "truncate halts"])
def test_the_words_that_stopped_trading_refuse_changes(url, statement):
    journal = journal_at(url)
    journal.record_halt("guarded", HaltEvent(Word.HALT, Cause.BY_HAND, "news", "asha@desk", NOON))

    with pytest.raises(DatabaseError, match="append-only"), create_engine(url).begin() as connection:
        connection.execute(text(statement))

    assert [event.reason for _, event in journal.halt_events("guarded")][:1] == ["news"]


def test_links_appended_at_once_make_one_chain(url):
    journal = journal_at(url)
    threads = [
        threading.Thread(target=lambda n=n: [journal.audit(f"actor {n}", "noted", "it", {}, NOON) for _ in range(5)])
        for n in range(3)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert journal.audit_broken_at() is None


def test_two_processes_cannot_trade_for_one_account(url):
    first, second = journal_at(url), journal_at(url)

    with first.writer_lock("ZX1"), pytest.raises(AlreadyRunning, match="ZX1"), second.writer_lock("ZX1"):
        pass


def test_a_dead_postgres_is_told_in_one_line():
    journal = Journal("postgresql+psycopg2://nobody:secret@127.0.0.1:9/journal")

    with pytest.raises(ServiceUnavailable) as told:
        journal.counts("ZX1")

    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)
    assert "does not answer" in str(told.value)


def test_a_cut_connection_is_replaced(url):
    journal = journal_at(url)
    journal.counts("ZX1")
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and datname = current_database()"
        )

    assert journal.counts("ZX1")["fills"] == 0


def test_what_is_noted_together_is_on_disk_wholly_or_not_at_all(url):
    journal = journal_at(url)

    with pytest.raises(KeyboardInterrupt), journal.together():
        journal.record_fill("half", a_fill())
        raise KeyboardInterrupt

    assert journal.fills("half") == []
    assert journal.record_fill("half", a_fill()), "after a failure each call is a transaction of its own again"
    assert Journal(url).fills("half") == [a_fill()]
    journal.close()
