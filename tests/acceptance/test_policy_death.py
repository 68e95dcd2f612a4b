"""The real policy service dies by SIGKILL in mid-session and comes back: no new risk meanwhile, all stays protected."""

import os
import shutil
import signal
from datetime import datetime
from decimal import Decimal

import psutil
import yaml

from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.promotion.ladder import Stage, promote
from pipelines.promotion.register import register_run
from pipelines.promotion.registry import default_registry
from pipelines.tables import read_json
from serving.process import Process
from serving.processes import exchange_process, executor_process, free_port, policy_process
from tests.integration.test_executor import health, wait_for
from tests.integration.test_outages import entered_between, goes_on_for_a_while

TICKS_PER_BAR = 90  #: a day of thousands of frames, so that a service can start again within it


def kill(process: Process) -> None:
    """The service with its workers, at once."""
    assert process.pid is not None
    parent = psutil.Process(process.pid)
    for child in [parent, *parent.children(recursive=True)]:
        os.kill(child.pid, signal.SIGKILL)
    process.stop()


def test_a_session_outlives_the_death_of_the_policy_service(small_run, own_postgres, tmp_path):
    shutil.copytree(small_run[0].root, tmp_path, dirs_exist_ok=True)
    content = yaml.safe_load((tmp_path / "params.yaml").read_text())
    content["exchange"]["ticks_per_bar"] = TICKS_PER_BAR
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    paths, params = Paths(tmp_path), load_params(tmp_path / "params.yaml")
    version = register_run(paths, params)
    journal = journal_at(database_url("journal"))
    promote(default_registry(params), journal, version, Stage.PAPER, actor="test", reason="to be killed")
    port = free_port()
    exchange = exchange_process(params, paths.root, port=free_port())
    first, second = policy_process(params, port=port), policy_process(params, port=port)
    executor = executor_process(
        params, paths.root, port=free_port(), exchange=exchange.url, policy=first.url, until_finished=True
    )
    for process in (exchange, first, second, executor):
        process.log_folder = tmp_path

    with exchange.start(), first.start():
        exchange.wait_until_healthy()
        first.wait_until_healthy()
        with executor:
            wait_for(lambda: health(executor).get("open_positions"))
            kill(first)
            began, ended = goes_on_for_a_while(executor)
            bare = health(executor).get("protected")
            with second.start():
                second.wait_until_healthy()
                back = datetime.fromisoformat(health(executor)["market_time"])
                code = executor.wait(200)

    told = read_json(paths.reports / "session.json")
    assert code == 0, executor.tail(30)
    assert entered_between(began, ended) == [], "no new risk without a policy"
    assert bare is not False, "what was open stayed protected"
    assert any("no decision" in alarm and ServiceUnavailable.__name__ in alarm for alarm in told["alarms"])
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    assert Decimal(told["net_inr"]) == Decimal(told["cash_journal"]) - params.exchange.opening_cash_inr
    decided = [decision for decision in journal.intents(told["account"]) if decision.created_at > back]
    assert decided, "trading went on when it was back"
