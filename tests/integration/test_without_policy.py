"""The executor while no policy decides: what is open is managed and closed, nothing is entered, and it says so."""

import os
import shutil
import signal
import socket
from collections.abc import Callable
from http.server import ThreadingHTTPServer

import pytest

from pipelines.domain.orders import Product, Purpose
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.paths import Paths
from pipelines.tables import read_json
from serving.process import Process
from serving.status import state_of
from tests.integration.test_executor import (
    MARKET,
    EagerPolicy,
    _handler,
    exchange_at,
    executor_at,
    health,
    market_at,
    wait_for,
)

TICKS_PER_BAR = 60  #: a day of some fifteen hundred frames, so that something can happen in its midst


class Leaving(EagerPolicy):
    """A policy service that goes away and comes back; what it enters is open until its time is over."""

    stop_away, target_away, hold_bars = 0.05, 0.05, 8

    def leave(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def come_back(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", self.server.server_address[1]), _handler(self))
        self.serve()


@pytest.fixture(scope="module")
def market(tmp_path_factory, own_postgres):
    """Two instruments, bars of fifteen minutes, one day held back."""
    return market_at(tmp_path_factory.mktemp("market"), MARKET | {"exchange.ticks_per_bar": TICKS_PER_BAR})


@pytest.fixture
def copied(market, tmp_path):
    """The same in a workspace of its own, whose files a test may spoil."""
    shutil.copytree(market[0].root, tmp_path / "run")
    return Paths(tmp_path / "run"), market[1]


def play(
    market, policy: Leaving, between: Callable[[], object], during: Callable[[Process], object] = lambda executor: None
) -> dict:
    """A day whose executor dies with something open; `between` its two lives something happens, too."""
    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as first:
            wait_for(lambda: health(first).get("open_positions"))
            os.kill(first.pid, signal.SIGKILL)
            first.wait(10)
        between()
        with executor_at(market, exchange, policy) as second:
            during(second)
            code = second.wait(150)
    told = read_json(market[0].reports / "session.json")
    assert code == 0, second.tail(30)
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    return told


def entries(told: dict) -> int:
    intents = journal_at(database_url("journal")).intents(told["account"])
    return sum(intent.purpose is Purpose.ENTRY for intent in intents)


def seen_without_policy(executor: Process) -> dict:
    return wait_for(lambda: (told := health(executor)).get("no_policy") and told.get("open_positions") and told)


def test_a_start_without_a_policy_manages_and_closes_what_is_open(market):
    policy = Leaving(market[0])
    seen: list = []

    def look(executor: Process) -> None:
        seen.append(seen_without_policy(executor))
        seen.append(state_of(executor))

    told = play(market, policy, policy.leave, look)

    assert entries(told) == told["outcomes"] <= 2, "only what was open before"
    assert seen[0]["protected"]
    assert any("nothing is entered: there is no policy" in alarm for alarm in seen[0]["alarms"])
    assert "open and managed, no policy: ServiceUnavailable" in seen[1]


def test_entries_begin_again_when_the_policy_is_back(market):
    policy = Leaving(market[0])

    def come_back(executor: Process) -> None:
        seen_without_policy(executor)
        policy.come_back()
        wait_for(lambda: health(executor).get("policy") == "eager")
        assert health(executor)["no_policy"] is None
        assert not any("no policy" in alarm for alarm in health(executor)["alarms"])

    told = play(market, policy, policy.leave, come_back)

    assert entries(told) > 2


@pytest.mark.parametrize(
    "describes",
    [
        {"interval": "5min"},
        {"catalogue_hash": "of another release"},
        {"regime_model": {"means": []}},
        {"hold_bars": 10**12},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_policy_that_does_not_fit_enters_nothing_beside_what_is_open(market, describes):
    policy = Leaving(market[0])

    told = play(market, policy, lambda: policy.describes.update(describes))

    assert entries(told) <= 2
    assert any("there is no policy" in alarm for alarm in told["alarms"])


def test_a_policy_of_another_product_waits_until_what_is_open_is_closed(market):
    policy = Leaving(market[0])
    seen: list = []

    told = play(
        market,
        policy,
        lambda: policy.describes.update(product="CNC"),
        lambda executor: seen.append(seen_without_policy(executor)),
    )

    intents = journal_at(database_url("journal")).intents(told["account"])
    assert "policy eager trades CNC, open are positions of MIS" in seen[0]["no_policy"]
    assert {intent.product for intent in intents if intent.purpose is not Purpose.ENTRY} >= {Product.MIS}


def test_what_is_open_outlives_the_files_of_its_run(copied):
    paths, _ = copied
    policy = Leaving(paths)

    def lose() -> None:
        for path in (paths.snapshot, paths.instruments, paths.news):
            path.unlink()

    told = play(copied, policy, lose)

    assert entries(told) <= 2
    assert any(str(paths.snapshot) in alarm for alarm in told["alarms"])


def test_a_service_that_takes_questions_and_never_answers_leaves_no_position_unmanaged(market):
    policy = Leaving(market[0])
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def hang() -> None:
        policy.leave()
        silent.bind(policy.server.server_address[:2])
        silent.listen(100)

    try:
        told = play(market, policy, hang, seen_without_policy)
    finally:
        silent.close()

    assert entries(told) <= 2


def test_with_nothing_open_a_start_waits_for_a_policy_and_says_so(market):
    policy = Leaving(market[0])
    policy.leave()

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: "waiting for a policy" in health(executor).get("state", ""))
            said = state_of(executor)
            policy.come_back()
            code = executor.wait(150)

    told = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(30)
    assert "waiting for a policy" in said
    assert told["outcomes"] > 5, "the day was not played before there was one"


def test_another_policy_in_mid_session_is_held_to_the_same_checks(market):
    policy = Leaving(market[0])
    decide = policy.decide

    def renamed(content: dict) -> dict:
        answer = decide(content)
        for decision in answer["decisions"]:
            decision["policy_version"] = "another"
        return answer | {"policy_version": "another"}

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("open_positions"))
            policy.describes |= {"policy_version": "another", "product": "CNC"}
            policy.decide = renamed
            seen = seen_without_policy(executor)
            code = executor.wait(150)

    told = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(30)
    assert "policy another trades CNC" in seen["no_policy"]
    assert told["open_positions"] == told["shares_at_broker"] == 0
