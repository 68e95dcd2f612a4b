"""A day through real processes: PostgreSQL, MLflow's server, BentoML, the paper exchange, the executor."""

import shutil
from decimal import Decimal

import pytest
from sqlalchemy import create_engine, text

from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.tables import read_json


@pytest.fixture(scope="module")
def played(small_run, own_postgres, tmp_path_factory):
    """The small run's held-back day, played once; its session summary and what the demo was told."""
    from serving.demo import session_processes
    from serving.processes import free_port, mlflow_process

    root = tmp_path_factory.mktemp("day")
    shutil.copytree(small_run[0].root, root, dirs_exist_ok=True)
    paths, params = Paths(root), load_params(root / "params.yaml")
    steps: list[str] = []
    with session_processes(paths, params, steps.append, keep_postgres=True) as told:
        mlflow = mlflow_process(params, port=free_port())
        with mlflow:
            mlflow.wait_until_healthy()
            yield paths, params, told, mlflow.url


def test_the_books_agree_to_the_paisa_and_nothing_is_left_open(played):
    session = read_json(played[0].reports / "session.json")

    assert Decimal(session["cash_exchange"]) == Decimal(session["cash_journal"])
    assert session["open_positions"] == 0
    assert session["decisions"] > 0
    assert session["alarms"] == []


def test_orders_became_outcomes(played):
    session = read_json(played[0].reports / "session.json")

    assert session["fills"] >= session["outcomes"] * 2 > 0
    assert session["orders"] <= session["intents"]


def test_the_journal_holds_every_step_and_its_arithmetic_is_right(played):
    from pipelines.journal.postgres import database_url

    paths, params = played[0], played[1]
    session = read_json(paths.reports / "session.json")
    engine, account = create_engine(database_url("journal")), {"account": session["account"]}
    with engine.connect() as connection:
        counted = {
            table: connection.execute(
                text(f"select count(*) from {table} where account = :account"), account
            ).scalar_one()
            for table in ("decisions", "intents", "orders", "fills", "outcomes")
        }
        net = connection.execute(
            text("select sum(net_inr) from outcomes where account = :account"), account
        ).scalar_one()
    engine.dispose()

    assert counted == {table: session[table] for table in counted}
    assert params.exchange.opening_cash_inr + net == Decimal(session["cash_journal"])


def test_the_registry_shows_the_policy_on_paper(played):
    import httpx

    from serving.mlflow_environment import mlflow_login

    _, params, _, url = played
    answer = httpx.get(
        f"{url}/api/2.0/mlflow/registered-models/alias",
        params={"name": f"{params.promotion.model}-demo", "alias": "paper"},
        auth=mlflow_login(),
    )

    assert answer.status_code == 200
    assert answer.json()["model_version"]["version"] == "1"


def test_an_uncommitted_run_is_played_from_a_ladder_of_its_own(played):
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from serving.executor.whereabouts import last_whereabouts

    _, params, told, _ = played
    journal = journal_at(database_url("journal"))
    moves = [event["to_stage"] for event in journal.policy_events(params.promotion.model)]
    journal.close()

    assert moves == ["candidate"]
    assert told.stage == "candidate"
    assert "made from a commit" in told.aside
    assert last_whereabouts() is None, "halt and flatten are left to the executor that trades"


def test_the_ladder_move_is_in_the_journal_with_who_and_why(played):
    from pipelines.journal.postgres import database_url

    engine = create_engine(database_url("journal"))
    with engine.connect() as connection:
        rows = connection.execute(text("select to_stage, actor, reason from policy_events order by at")).all()
    engine.dispose()

    reason = "demonstration run on a ladder of its own"
    assert ("paper", "demo", reason) in [(str(row.to_stage), row.actor, row.reason) for row in rows]


def test_the_summary_says_where_the_bars_came_from_and_what_each_gate_measured(played):
    from serving.demo import summary_of

    paths, params, told, _ = played

    summary = summary_of(paths, params, told, seconds=1.0)

    assert summary["source"] == "simulated market with a planted momentum edge of strength 3"
    assert (summary["stage"], summary["registry_model"]) == ("candidate", "tradesage-policy")
    assert "made from a commit" in summary["played_aside"]
    assert summary["features"] >= 40
    assert {tuple(gate) for gate in summary["gates"]} == {("name", "passed", "measured", "limit")}
    assert set(summary["evaluation"]) == {
        "sharpe", "sharpe_ci", "max_drawdown", "win_rate", "profit_factor", "trades", "charges_inr",
    }  # fmt: skip
    assert summary["session"]["cash_exchange"] == summary["session"]["cash_journal"]
    assert summary["session"]["open_positions"] == 0
