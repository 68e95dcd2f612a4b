"""What happens to a session when PostgreSQL, its disk or the policy service fails in mid-session, and comes back."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from http.server import ThreadingHTTPServer

import psycopg2
import pytest
from sqlalchemy import create_engine, text

from pipelines.domain.errors import AlreadyRunning, JournalAway
from pipelines.domain.orders import IntentStatus, Purpose
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url, stop_embedded
from pipelines.journal.spool import Spool, SpooledJournal
from pipelines.tables import read_json
from tests.hanging import backends, postmaster, stopped, table_locked
from tests.integration.test_executor import (
    EagerPolicy,
    _handler,
    exchange_at,
    executor_at,
    health,
    market,  # noqa: F401  a fixture
    wait_for,
)
from tests.unit.journal.records import NOON, a_decision, a_fill, an_intent, an_order

WRITTEN = (
    "decisions",
    "intents",
    "orders",
    "order_events",
    "fills",
    "positions",
    "outcomes",
    "risk_events",
    "equity_days",
)


class SteadyPolicy(EagerPolicy):
    """Takes its time, so that a day lasts long enough for something to fail in it."""

    def decide(self, content: dict) -> dict:
        if self.dead:
            raise ConnectionAbortedError  # the connection that was kept open breaks, too
        time.sleep(0.15)
        return super().decide(content)

    dead = False

    def die(self) -> None:
        self.dead = True
        self.server.shutdown()
        self.server.server_close()

    def live(self) -> None:
        self.dead = False
        self.server = ThreadingHTTPServer(self.server.server_address, _handler(self))
        self.serve()


def entered_between(first: datetime, last: datetime) -> list[str]:
    """Entries that the journal tells of, strictly within two moments of the market."""
    engine = create_engine(database_url("journal"))
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select symbol from intents where purpose = 'entry' and created_at > :first and created_at < :last"
                " and account = (select account from intents order by recorded_at desc limit 1)"
            ),
            {"first": first, "last": last},
        )
        found = [row.symbol for row in rows]
    engine.dispose()
    return found


def market_time(executor) -> datetime:
    return datetime.fromisoformat(wait_for(lambda: health(executor).get("market_time")))


def goes_on_for_a_while(executor) -> tuple[datetime, datetime]:
    """Market times between which the daemon played on."""
    time.sleep(0.3)  # the frame in hand may be finished
    first = market_time(executor)
    wait_for(lambda: (market_time(executor) - first).total_seconds() > 1800)
    return first, market_time(executor)


def assert_the_day_ended_well(market, code: int, executor) -> dict:  # noqa: F811
    told = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(30)
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    assert told["intents"] == told["orders"], "every intent became one order, none became two"
    assert Decimal(told["net_inr"]) == Decimal(told["cash_journal"]) - market[1].exchange.opening_cash_inr
    return told


@contextmanager
def full_disk() -> Iterator[None]:
    """PostgreSQL refuses to write as it does on a full disk."""
    engine = create_engine(database_url("journal"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                "create or replace function disk_is_full() returns trigger language plpgsql as $$ begin"
                " raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$"
            )
        )
        for table in WRITTEN:
            connection.execute(
                text(
                    f"create trigger no_space before insert or update on {table}"
                    " for each statement execute function disk_is_full()"
                )
            )
        try:
            yield
        finally:
            for table in WRITTEN:
                connection.execute(text(f"drop trigger no_space on {table}"))
    engine.dispose()


def start_postgresql() -> None:
    """By a process of its own: this one may believe that its server still runs."""
    subprocess.run(
        [sys.executable, "-c", "from pipelines.journal.postgres import database_url; database_url('x')"], check=True
    )


def test_a_session_outlives_a_restart_of_postgresql(market):  # noqa: F811
    policy = SteadyPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("open_positions"))
            stop_embedded()
            first, last = goes_on_for_a_while(executor)
            start_postgresql()
            code = executor.wait(150)

    told = assert_the_day_ended_well(market, code, executor)
    assert entered_between(first, last) == [], "no new risk without a journal"
    assert any("the journal cannot be written" in alarm for alarm in told["alarms"])
    assert entered_between(last, datetime.max.replace(tzinfo=last.tzinfo)), "it goes on when it is back"


def test_a_session_outlives_a_full_disk_of_the_journal(market):  # noqa: F811
    policy = SteadyPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("open_positions"))
            with full_disk():
                first, last = goes_on_for_a_while(executor)
            code = executor.wait(150)

    told = assert_the_day_ended_well(market, code, executor)
    assert entered_between(first, last) == []
    assert any("No space left on device" in alarm for alarm in told["alarms"])


def test_a_session_outlives_the_policy_service(market):  # noqa: F811
    policy = SteadyPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("open_positions"))
            policy.die()
            wait_for(lambda: any("no decision" in alarm for alarm in health(executor).get("alarms", ())))
            last = market_time(executor)
            policy.live()
            code = executor.wait(150)

    assert_the_day_ended_well(market, code, executor)
    assert entered_between(last, datetime.max.replace(tzinfo=last.tzinfo))


@contextmanager
def a_hang(kind: str) -> Iterator[None]:
    """PostgreSQL takes what it is asked and gives no answer."""
    url = database_url("journal")
    if kind == "a lock on orders":
        with table_locked(url):
            yield
    else:
        with stopped([*backends(url), postmaster()]):
            yield


@pytest.mark.parametrize("kind", ["a lock on orders", "a stopped server"])
def test_a_session_outlives_a_hang_of_postgresql(market, kind):  # noqa: F811
    policy = SteadyPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("open_positions"))
            with a_hang(kind):
                wait_for(lambda: health(executor)["journal_ok"] is False)
                told = health(executor)["alarms"]
                market_time_at = market_time(executor)
                wait_for(lambda: (market_time(executor) - market_time_at).total_seconds() > 1800)
            wait_for(lambda: health(executor)["journal_ok"])
            later = health(executor)
            code = executor.wait(150)

    summary = assert_the_day_ended_well(market, code, executor)
    assert any("nothing is entered: the journal cannot be written" in alarm for alarm in told)
    assert not any("the journal cannot be written" in alarm for alarm in later["alarms"])
    assert any("the journal cannot be written" in alarm["what"] for alarm in later["alarms_over"])
    print(f"bare for {summary['naked_seconds_max']} s at most")


# --- the file in which notes wait ---


@pytest.fixture
def journal(own_postgres, tmp_path):
    journal = SpooledJournal(journal_at(database_url("journal_outages")), tmp_path, retry_s=0.0)
    yield journal
    journal.close()


def test_notes_of_an_outage_are_taken_over_once(journal):
    with journal.writer_lock("A1"):
        stop_embedded()
        journal.commit_intent("A1", an_intent(intent_id="stop-1", purpose=Purpose.STOP))
        journal.advance_intent("stop-1", IntentStatus.SENT, NOON)
        with journal.together():
            journal.record_order("A1", an_order())
            journal.record_fill("A1", a_fill())
        assert not journal.recover("A1")
        start_postgresql()

        assert journal.recover("A1")

        assert [intent.status for intent in journal.intents("A1")] == [IntentStatus.SENT]
        assert journal.fills("A1") == [a_fill()]
        assert journal.orders("A1") == [an_order()]
        assert journal.away is None


def test_an_entry_is_refused_while_the_journal_is_away(journal):
    with journal.writer_lock("A2"):
        stop_embedded()

        with pytest.raises(JournalAway):
            journal.commit_intent("A2", an_intent(intent_id="entry-1"))
        with pytest.raises(JournalAway):
            journal.record_decision("A2", a_decision(), 1.0)

        start_postgresql()
        assert journal.recover("A2")
        assert journal.intents("A2") == []


def test_what_an_outage_left_behind_is_taken_over_at_the_next_start(journal, tmp_path):
    with journal.writer_lock("A3"):
        stop_embedded()
        journal.record_fill("A3", a_fill())
    start_postgresql()

    again = SpooledJournal(journal_at(database_url("journal_outages")), tmp_path)
    with again.writer_lock("A3"):
        assert again.fills("A3") == [a_fill()]
    again.close()


def test_a_writer_that_another_has_replaced_in_an_outage_stops(journal):
    other = journal_at(database_url("journal_outages"))
    with journal.writer_lock("A4"):
        stop_embedded()
        journal.record_fill("A4", a_fill())
        start_postgresql()

        with other.writer_lock("A4"), pytest.raises(AlreadyRunning, match="A4"):
            journal.recover("A4")
    other.close()


@pytest.mark.parametrize("when", ["before the first note", "between two notes", "after the last note"])
def test_notes_made_together_survive_a_connection_that_is_cut_in_their_midst(journal, when):
    with journal.writer_lock("A6"):
        with journal.together():
            cut_connections(when == "before the first note")
            journal.record_order("A6", an_order())
            cut_connections(when == "between two notes")
            journal.record_fill("A6", a_fill())
            cut_connections(when == "after the last note")
        assert "does not answer" in journal.away

        assert journal.recover("A6")

        assert (journal.orders("A6"), journal.fills("A6")) == ([an_order()], [a_fill()])


def cut_connections(now: bool) -> None:
    if not now:
        return
    with psycopg2.connect(database_url("journal_outages").replace("+psycopg2", "")) as connection:
        connection.cursor().execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and datname = current_database()"
        )
    connection.close()


def test_a_writer_that_trades_on_in_an_outage_is_not_joined_by_another(journal, tmp_path):
    other = SpooledJournal(journal_at(database_url("journal_outages")), tmp_path)

    with journal.writer_lock("A5"):
        cut_connections(now=True)

        with pytest.raises(AlreadyRunning, match="A5"), other.writer_lock("A5"):
            pass
        journal.record_order("A5", an_order())
        assert journal.recover("A5")
        assert journal.orders("A5") == [an_order()]
    other.close()


def test_a_start_goes_on_past_garbage_among_waiting_notes(journal, tmp_path):
    spool = Spool(tmp_path / "A9.jsonl")
    spool.append([("record_order", {"account": "A9", "order": an_order()})])
    spool.append([("record_fill", {"account": "A9", "fill": a_fill(quantity=10**12)})])  # more than the table takes
    spool.append([("record_fill", {"account": "A9", "surprise": 1})])
    spool.append([("record_fill", {"account": "A9", "fill": a_fill()})])
    spool.close()
    lines = (tmp_path / "A9.jsonl").read_bytes().rstrip(b"\0").split(b"\n")
    (tmp_path / "A9.jsonl").write_bytes(b"\n".join([*lines[:2], b"garbage", *lines[2:]]))

    with journal.writer_lock("A9"):
        orders, fills, away = journal.orders("A9"), journal.fills("A9"), journal.away

    assert (orders, fills, away) == ([an_order()], [a_fill()], None)
    assert len((tmp_path / "A9.jsonl.unreadable").read_bytes().splitlines()) == 3
    assert any("cannot be taken over" in alarm for alarm in journal.alarms)
    with journal.writer_lock("A9"):
        assert len((tmp_path / "A9.jsonl.unreadable").read_bytes().splitlines()) == 3, "set aside once"


def test_notes_of_a_long_outage_are_taken_over_bit_by_bit(journal):
    with journal.writer_lock("A10"):
        stop_embedded()
        for number in range(600):
            journal.record_fill("A10", a_fill(trade_id=str(number)))
        start_postgresql()
        rounds = 1
        while not journal.recover("A10"):
            rounds += 1

        assert len(journal.fills("A10")) == 600
        assert 3 <= rounds <= 6


def test_text_from_outside_that_postgresql_cannot_keep_is_kept_without_it(journal):
    with journal.writer_lock("A11"):
        journal.record_order("A11", an_order(message="no\x00pe \ud800"))
        journal.record_order_event("A11", "1", "odd", {"said": "a\x00b\udfff", "price": float("nan")}, NOON)

        assert journal.away is None
        assert journal.orders("A11") == [an_order(message="no\ufffdpe ?")]
