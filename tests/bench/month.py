"""The executor over a month of trading days: whether its memory grows, and what a frame costs at the end."""

import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from pipelines.domain.bars import BAR_COLUMNS
from pipelines.tables import read_json, read_table, write_table
from serving.processes import exchange_process, executor_process, free_port
from tests.conftest import run_stages, workspace_at
from tests.integration.test_executor import EagerPolicy

DAYS = 22
MARKET = {
    "ingest.interval": "15min",
    "ingest.simulated.days": 60,
    "ingest.session_days": DAYS,
    "ingest.simulated.instruments": 4,
    "regimes.refits": 1,
    "executor.halt.losses_in_a_row": 1000,  # a policy that takes every bar loses: the daemon is to be kept busy
    "exchange.ticks_per_bar": 6,
}


def measure() -> dict[str, Any]:
    """Resident memory of the executor's process day by day; a policy that takes every bar keeps it busy."""
    with tempfile.TemporaryDirectory(prefix="ts-month-", dir="/tmp") as folder:
        paths, params = workspace_at(Path(folder), MARKET)
        run_stages(paths, params, ("ingest",))
        for path in paths.raw_bars.glob("*.parquet"):  # a simulated market has no faults to find
            write_table(read_table(path)[list(BAR_COLUMNS)], paths.validated_bars / path.name)
        for raw, validated in (
            (paths.raw_instruments, paths.instruments), (paths.raw_news, paths.news),
            (paths.raw_outcomes, paths.outcomes),
        ):  # fmt: skip
            write_table(read_table(raw), validated)
        run_stages(paths, params, ("features", "regimes"))
        policy = EagerPolicy(paths)
        exchange = exchange_process(params, paths.root, port=free_port())
        executor = executor_process(
            params, paths.root, port=free_port(), exchange=exchange.url, policy=policy.url, until_finished=True
        )
        exchange.log_folder = executor.log_folder = paths.root
        with exchange.start():
            exchange.wait_until_healthy()
            began = time.monotonic()
            with executor:
                seen = _watched(executor)
                code = executor.wait(500)
        told = read_json(paths.reports / "session.json")
        assert code == 0, executor.tail(30)
    days = sorted(seen)
    first = median(seen[day] for day in days[2:5])  # the first days warm caches up
    last = median(seen[day] for day in days[-3:])
    return {
        "days": len(days), "orders": told["orders"], "outcomes": told["outcomes"],
        "rss_mib_early": first, "rss_mib_late": last, "growth": last / first - 1, "target_growth": 0.05,
        "seconds_a_day": (time.monotonic() - began) / max(len(days), 1),
    }  # fmt: skip


def _watched(executor: Any) -> dict[str, float]:
    """Most memory (MiB) by the day that the executor says it is in, filled while it runs."""
    import httpx

    most: dict[str, float] = {}

    def watch() -> None:
        process = psutil.Process(executor.pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            try:
                told = httpx.get(f"{executor.url}/health", timeout=2, trust_env=False).json()
                day = str(told.get("market_time", ""))[:10]
                if day:
                    most[day] = max(most.get(day, 0.0), process.memory_info().rss / 2**20)
            except (httpx.HTTPError, psutil.Error, ValueError):
                pass
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    return most
