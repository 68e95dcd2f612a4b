"""Halt, resume and flatten by the commands a person types; daemon, paper exchange and PostgreSQL are the real ones."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from pipelines.domain.halts import Cause, Word
from pipelines.domain.orders import Purpose
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.tables import read_json
from serving.executor.trading_state import halt_file
from tests.integration.test_executor import MARKET, EagerPolicy, exchange_at, executor_at, health, wait_for
from tests.integration.test_executor import market as market

CALM = MARKET | {"executor.halt.slow_decision_ms": 60_000}  # the tests make decisions slow to have time to type


class SlowPolicy(EagerPolicy):
    """Takes its time over each bar from some bar on, and lets a test act once at that bar."""

    def __init__(self, paths, act: Callable[[], None], at_bar: int = 5, seconds: float = 0.4):
        super().__init__(paths)
        self._act, self._at, self._seconds, self._bars = act, at_bar, seconds, 0

    def decide(self, content: dict) -> dict:
        self._bars += 1
        if self._bars == self._at:
            threading.Thread(target=self._act, daemon=True).start()
        if self._bars >= self._at:
            time.sleep(self._seconds)
        return super().decide(content)


class FatalPolicy(EagerPolicy):
    """Asks at every bar whether to strike; in lockstep the market stands still until the answer is given."""

    def __init__(self, paths, strike: Callable[[], bool]):
        super().__init__(paths)
        self._strike, self.struck = strike, False

    def decide(self, content: dict) -> dict:
        self.struck = self.struck or self._strike()
        return super().decide(content)


def tradesage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    code = "from serving.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "200"} | environment,
        check=False,
    )


@pytest.fixture
def journal(own_postgres):
    journal = journal_at(database_url("journal"))
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def no_halt_file(own_postgres):
    yield
    halt_file().unlink(missing_ok=True)


@pytest.fixture
def patient(market, monkeypatch):
    """The market with a `params.yaml` whose kill switch does not mind slow decisions."""
    import yaml

    from pipelines.params import load_params
    from tests.conftest import params_content

    paths, _ = market
    file = paths.root / "params.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(yaml.safe_dump(params_content(CALM)), encoding="utf-8")
    yield paths, load_params(file)
    file.write_text(before, encoding="utf-8")


def test_a_halt_stops_entries_while_exits_go_on_and_a_resume_lets_them_in_again(patient, journal):
    answers: list[subprocess.CompletedProcess] = []

    def act() -> None:
        answers.append(tradesage("halt", "--reason", "news", "--by", "asha@desk"))
        answers.append(tradesage("resume", "--reason", "read it", "--by", "asha@desk"))

    with exchange_at(patient).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(patient, exchange, SlowPolicy(patient[0], act)) as executor:
            assert executor.wait(150) == 0, executor.tail(30)

    told = read_json(patient[0].reports / "session.json")
    assert [answer.returncode for answer in answers] == [0, 0], [answer.stderr + answer.stdout for answer in answers]
    assert "HALTED. by hand: news (asha@desk)" in answers[0].stdout
    assert "TRADING" in answers[1].stdout
    assert [(said["word"], said["actor"], said["reason"]) for said in told["halts"]] == [
        ("halt", "asha@desk", "news"),
        ("resume", "asha@desk", "read it"),
    ]
    refused = [event for event in journal.risk_events(told["account"]) if event["rule"] == "trading halted"]
    entries = [i.created_at for i in journal.intents(told["account"]) if i.purpose is Purpose.ENTRY]
    assert refused, "a bar was decided on while trading was halted"
    assert not [at for at in entries if refused[0]["at"] <= at <= refused[-1]["at"]]
    assert max(entries) > refused[-1]["at"], "after the resume entries went on"
    assert told["open_positions"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    assert journal.audit_broken_at() is None


def test_flatten_gets_out_by_the_daemon_and_proves_it(patient, journal):
    answers: list[subprocess.CompletedProcess] = []

    with exchange_at(patient).start() as exchange:
        exchange.wait_until_healthy()
        policy = SlowPolicy(patient[0], lambda: answers.append(tradesage("flatten", "--reason", "enough")))
        with executor_at(patient, exchange, policy) as executor:
            assert executor.wait(150) == 0, executor.tail(30)
            wait_for(lambda: answers)

    told = read_json(patient[0].reports / "session.json")
    [answer] = answers
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "flat: 0 positions, 0 orders" in answer.stdout
    assert told["trading"] == "FLATTENING"
    assert told["open_positions"] == told["shares_at_broker"] == 0
    entries = [i.created_at for i in journal.intents(told["account"]) if i.purpose is Purpose.ENTRY]
    assert max(entries).hour < 14, "nothing was entered afterwards"


def test_flatten_without_a_daemon_leaves_the_positions_itself(market, journal):
    daemon: list = []

    def strike_while_a_position_is_open() -> bool:
        if not daemon or not journal.open_positions(health(daemon[0]).get("account", "")):
            return False
        os.kill(daemon[0].pid, signal.SIGKILL)
        return True

    policy = FatalPolicy(market[0], strike_while_a_position_is_open)

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as first:
            account = wait_for(lambda: health(first).get("account"))
            daemon.append(first)
            wait_for(lambda: policy.struck)
            first.wait(10)
        assert journal.open_positions(account), "the daemon died with a position"
        closed_before = len(journal.outcomes(account))
        answer = tradesage("flatten", "--reason", "the machine is on fire", "--by", "asha@desk")
        again = tradesage("flatten", "--reason", "once more")
        refused = tradesage("resume", "--reason", "all is well", "--account", "NOBODY")
        with executor_at(market, exchange, policy) as second:
            assert second.wait(150) == 0, second.tail(30)

    told = read_json(market[0].reports / "session.json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "no executor answers" in answer.stdout
    assert "flat: 0 positions, 0 orders" in answer.stdout
    assert again.returncode == 0
    assert refused.returncode == 1
    assert "no account NOBODY" in refused.stderr
    outcomes = journal.outcomes(account)
    assert len(outcomes) > closed_before, "what it left became an outcome"
    assert told["account"] == account
    assert told["outcomes"] == len(outcomes), "the daemon that came after found the halt and entered nothing"
    assert told["trading"] == "FLATTENING"
    assert told["cash_exchange"] == told["cash_journal"]


def test_losses_in_a_row_stop_the_daemon_and_only_force_lets_it_go_on(market, journal, monkeypatch):
    import yaml

    from pipelines.params import load_params
    from tests.conftest import params_content

    paths, _ = market
    file = paths.root / "params.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(yaml.safe_dump(params_content(CALM | {"executor.halt.losses_in_a_row": 1})), encoding="utf-8")
    try:
        with exchange_at(market).start() as exchange:
            exchange.wait_until_healthy()
            with executor_at((paths, load_params(file)), exchange, EagerPolicy(paths)) as executor:
                assert executor.wait(150) == 0, executor.tail(30)
    finally:
        file.write_text(before, encoding="utf-8")

    told = read_json(paths.reports / "session.json")
    assert told["trading"] == "HALTED"
    [said] = told["halts"]
    assert (said["word"], said["cause"], said["actor"]) == ("halt", "losses in a row", "executor")
    assert any("losses in a row" in alarm for alarm in told["alarms"])
    assert tradesage("resume", "--reason", "a new day").returncode == 1
    assert tradesage("resume", "--reason", "a new day", "--force").returncode == 0
    event = journal.halt_events(told["account"])[-1][1]
    assert (event.word, event.cause, event.forced, event.reason) == (Word.RESUME, Cause.BY_HAND, True, "a new day")


def test_without_postgres_a_halt_stands_in_a_file_that_the_daemon_hears(market, journal):
    dead = "postgresql://nobody:nothing@127.0.0.1:9/postgres"
    answer = tradesage("halt", "--reason", "no journal", "--by", "asha@desk", TRADESAGE_DATABASE_URL=dead)

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, EagerPolicy(market[0])) as executor:
            assert executor.wait(150) == 0, executor.tail(30)

    told = read_json(market[0].reports / "session.json")
    assert answer.returncode == 0, answer.stderr
    assert str(halt_file()) in answer.stdout.replace("\n", "")
    assert told["orders"] == 0
    assert [(said["actor"], said["reason"]) for said in told["halts"]] == [("asha@desk", "no journal")]
    assert tradesage("resume", "--reason", "back").returncode == 0
    assert not halt_file().exists()
