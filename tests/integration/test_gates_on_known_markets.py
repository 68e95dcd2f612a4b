"""The whole pipeline where the answer is known: a market without an edge, and one with a plain planted edge."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.promotion.ladder import Stage, may_enter, verdicts_from
from pipelines.tables import read_json, read_table
from tests.conftest import SMALL, run_stages, workspace_at

NO_EDGE = SMALL | {"ingest.simulated.edge": "none"}
SLIPPAGE = 2e-4  #: of an order's value, as params.yaml has it
#: A policy that takes every signal, whatever the trade model thinks of it
TAKES_ALL = {
    "policy.min_probability": 0.0,
    "policy.min_expected_return": -1.0,
    "policy.reduce_below": -1.0,
}


@pytest.fixture(scope="module")
def without_edge(tmp_path_factory) -> Paths:
    paths, params = workspace_at(tmp_path_factory.mktemp("without_edge") / "run", NO_EDGE)
    run_stages(paths, params)
    return paths


@pytest.fixture(scope="module")
def taking_all(tmp_path_factory, without_edge) -> Paths:
    """The same market, traded by a policy without thresholds."""
    folder = tmp_path_factory.mktemp("taking_all") / "run"
    shutil.copytree(without_edge.root, folder)
    paths, params = workspace_at(folder, NO_EDGE | TAKES_ALL)
    run_stages(paths, params, ("policy", "evaluation", "gates"))
    return paths


def refused(paths: Paths, stage: Stage) -> set[str]:
    return {verdict.gate for verdict in may_enter(stage, verdicts_from(read_json(paths.verdicts)))}


def figures(paths: Paths) -> dict:
    return read_json(paths.reports / "evaluation.json")


def test_without_an_edge_the_policy_leaves_trading_be_and_gets_no_money(without_edge):
    assert figures(without_edge)["trades"] < 20
    assert refused(without_edge, Stage.PAPER) == set()
    assert {"trades", "Sharpe ratio", "deflated Sharpe ratio"} <= refused(without_edge, Stage.CANARY)


def test_without_an_edge_taking_every_signal_loses_what_trading_costs(taking_all):
    found = figures(taking_all)
    mean, error = before_costs(read_table(taking_all.evaluation / "trades.parquet"))

    assert found["trades"] > 300
    assert abs(mean) < 2.5 * error  # nothing was there to be earned ...
    assert found["net_inr"] < -0.5 * found["charges_inr"]  # ... and charges are paid
    assert found["books_agree"]


def before_costs(trades: pd.DataFrame) -> tuple[float, float]:
    """Mean return of a trade before charges and slippage, and its standard error by days."""
    slippage = (trades["entry_price"] + trades["exit_price"]) * trades["quantity"] * SLIPPAGE
    returns = (trades["gross_inr"] + slippage) / (trades["entry_price"] * trades["quantity"])
    by_day = (returns - returns.mean()).groupby(trades["exited_at"].dt.date).sum()
    return float(returns.mean()), float(np.sqrt((by_day**2).sum()) / len(returns))


def test_without_an_edge_every_gate_on_earnings_refuses_a_policy_that_trades(taking_all):
    earnings = {
        "Sharpe ratio",
        "Sharpe ratio, lower end",
        "deflated Sharpe ratio",
        "profit factor",
        "Sharpe ratio at double costs",
    }

    assert earnings <= refused(taking_all, Stage.CANARY)
    assert earnings <= refused(taking_all, Stage.CHAMPION)


def test_a_plain_planted_edge_passes_every_gate_and_is_called_planted(small_run: tuple[Paths, Params]):
    paths, params = small_run
    assert (params.ingest.simulated.edge, params.ingest.simulated.edge_strength) == ("momentum", 3.0)

    verdicts = verdicts_from(read_json(paths.verdicts))

    assert [verdict.gate for verdict in verdicts if not verdict.passed] == []
    assert len(verdicts) >= 13
    assert figures(paths)["trades"] > 200
    report = (paths.evaluation / "evaluation.html").read_text(encoding="utf-8")
    assert "simulated market with a planted momentum edge" in report


def test_figures_and_verdicts_are_plain_json_whatever_the_market(without_edge, taking_all):
    for paths in (without_edge, taking_all):
        for path in (paths.reports / "evaluation.json", paths.verdicts, paths.reports / "gates.json"):
            json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
