"""`make bench`: measure, print a table, write `reports/bench.json`."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.journal.postgres import stop_embedded
from pipelines.paths import Paths
from pipelines.tables import write_json
from tests.bench import features, lake, month, regimes, scaling, session, stream, validation
from tests.bench.timing import seconds_of
from tests.conftest import ROOT, run_stages, workspace_at

REPEATS = 5
MARKET = {
    "ingest.simulated.days": 120,
    "ingest.simulated.instruments": 8,
    "evaluation.folds": 2,
    "evaluation.turns": 20,
    "evaluation.bootstraps": 200,
}


def median_seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median time of `work` after one call that is not counted."""
    return statistics.median(seconds_of(work, repeats))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def backtest(paths: Paths, params: Any) -> dict[str, Any]:
    """Bars a second through the event-driven backtest, exact money included."""
    from pipelines.evaluation.engine import run_backtest
    from pipelines.evaluation.stage import rules_from
    from pipelines.policy.bundle import Bundle
    from pipelines.policy.decide import judge
    from pipelines.policy.panel import read_panel

    panel = read_panel(paths)
    bundle = Bundle.load(paths.bundle)
    decisions = judge(bundle, panel.table).assign(policy_version=bundle.version)
    rules, first, last = rules_from(params, panel), int(panel.times[0]), int(panel.times[-1])
    seconds = median_seconds(lambda: run_backtest(panel, decisions, rules, first, last), repeats=3)
    return {"bars_per_second": len(panel.table) / seconds, "bars": len(panel.table)}


def decide_in_process(paths: Paths) -> dict[str, Any]:
    """One decision at a time, without the network."""
    from decimal import Decimal

    from pipelines.policy.bundle import Bundle
    from pipelines.policy.decide import decide

    bundle, rows = Bundle.load(paths.bundle), feature_rows(paths, 400)
    taken = []
    for row in rows:
        started = time.perf_counter()
        decide(bundle, [row], Decimal(1_000_000))
        taken.append((time.perf_counter() - started) * 1e3)
    return {"p50_ms": percentile(taken[20:], 0.5), "p99_ms": percentile(taken[20:], 0.99)}


def with_policy_service(paths: Paths, params: Any) -> dict[str, dict[str, Any]]:
    """What is measured against a policy service on loopback: decisions, and a session's orders."""
    import httpx

    from pipelines.credentials import credential
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from pipelines.promotion.ladder import Stage, promote
    from pipelines.promotion.register import register_run
    from pipelines.promotion.registry import default_registry
    from serving.processes import free_port, policy_process
    from serving.wire import row_to_wire

    rows = [row_to_wire(row) for row in feature_rows(paths, 500)]
    try:
        version = register_run(paths, params)
        journal = journal_at(database_url("journal"))
        promote(default_registry(params), journal, version, Stage.PAPER, actor="bench", reason="measurement")
        with policy_process(params, port=free_port()) as service:
            service.wait_until_healthy()
            headers = {"Authorization": f"Bearer {credential('policy_token')}"}
            with httpx.Client(base_url=service.url, headers=headers, timeout=30, trust_env=False) as client:
                one = [_ask(client, [row]) for row in rows]
                many = [_ask(client, rows[i : i + 50]) for i in range(0, 500, 50) for _ in range(4)]
            orders = session.measure(paths, params, service.url)
    finally:
        stop_embedded()
    decisions = {
        "p50_ms": percentile(one[20:], 0.5), "p99_ms": percentile(one[20:], 0.99), "target_p99_ms": 10,
        "batch_p99_ms": percentile(many, 0.99), "batch_decisions_per_second": 50 * len(many) / sum(many) * 1e3,
    }  # fmt: skip
    return {"decide, over HTTP": decisions, "executor, bar close to order": orders}


def _ask(client: Any, rows: list[dict]) -> float:
    started = time.perf_counter()
    client.post("/decide", json={"rows": rows, "equity_inr": "1000000"}).raise_for_status()
    return (time.perf_counter() - started) * 1e3


def feature_rows(paths: Paths, count: int) -> list[Any]:
    """The last rows of the panel as the executor would send them."""
    from pipelines.domain.signals import FeatureRow
    from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS, STATED_REGIME, read_panel

    panel = read_panel(paths)
    names = (*panel.feature_names, *FLAG_COLUMNS, STATED_REGIME, *REGIME_COLUMNS)
    return [
        FeatureRow(
            row["symbol"], row["close_time"].to_pydatetime(), row["close"],
            panel.instruments[row["symbol"]].tick_size, 1, panel.catalogue["hash"], {name: row[name] for name in names},
        )
        for row in panel.table.tail(count).to_dict("records")
    ]  # fmt: skip


def parsing_of_dags() -> dict[str, Any]:
    """Time to load the DAG folder in a process of its own, Airflow's import not counted."""
    program = (
        "import time; from airflow.dag_processing.dagbag import DagBag; t = time.perf_counter(); "
        f"bag = DagBag({str(ROOT / 'dags')!r}); assert not bag.import_errors, bag.import_errors; "
        "print('seconds', time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as home:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__")}
        environment |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        told = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
    return {"seconds": float(told.stdout.split("seconds")[-1]), "target_seconds": 2}


def repro_with_nothing_to_do() -> dict[str, Any]:
    """`dvc repro` in the checkout, if the pipeline has run there."""
    command = [sys.executable, "-m", "dvc", "repro"]
    status = subprocess.run([sys.executable, "-m", "dvc", "status", "-q"], cwd=ROOT, check=False).returncode
    if status != 0:
        return {"seconds": None, "note": "run `dvc repro` first: the checkout has something to do"}
    seconds = median_seconds(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True), repeats=3)
    return {"seconds": seconds, "target_seconds": 3}


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ts-bench-", dir="/tmp") as folder:
        os.environ["TRADESAGE_STATE"] = str(Path(folder) / "state")
        console.print("preparing a simulated market and a policy")
        paths, params = workspace_at(Path(folder) / "run", MARKET)
        run_stages(paths, params)
        measurements: tuple[tuple[str, Callable[[], dict[str, Any]]], ...] = (
            ("features", lambda: features.measure(paths)),
            ("validation", lambda: validation.measure(params.validate_)),
            ("features, scaling", scaling.measure),
            ("regimes, markets not chosen on", lambda: regimes.measure(params)),
            ("backtest", lambda: backtest(paths, params)),
            ("decide, in process", lambda: decide_in_process(paths)),
            ("policy service and executor", lambda: with_policy_service(paths, params)),
            ("ticks to bars and features", stream.measure),
            ("executor over a month", month.measure),
            ("lake", lake.measure),
            ("DAG folder", parsing_of_dags),
            ("dvc repro, nothing to do", repro_with_nothing_to_do),
        )
        figures: dict[str, dict[str, Any]] = {}
        for name, measure in measurements:
            console.print(f"measuring {name}")
            found = measure()
            several = all(isinstance(figure, dict) for figure in found.values())
            figures |= found if several else {name: found}
        stop_embedded()
    table = Table("what", "figures")
    for name, found in figures.items():
        table.add_row(
            name, ", ".join(f"{k} {v:,.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items())
        )
    console.print(table)
    write_json(figures, ROOT / "reports" / "bench.json")


if __name__ == "__main__":
    main()
