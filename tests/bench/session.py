"""A session through all real processes: from a bar's last frame in hand to the request of its order."""

from typing import Any

from pipelines.paths import Paths
from pipelines.tables import read_json
from serving.processes import exchange_process, executor_process, free_port


def measure(paths: Paths, params: Any, policy_url: str) -> dict[str, Any]:
    """The last day of a finished run, played in lockstep; orders of one close leave one after another.

    Parameters
    ----------
    policy_url : of a policy service that serves the run's policy
    """
    exchange = exchange_process(params, paths.root, port=free_port())
    executor = executor_process(
        params, paths.root, port=free_port(), exchange=exchange.url, policy=policy_url, until_finished=True
    )
    exchange.log_folder = executor.log_folder = paths.root
    with exchange.start():
        exchange.wait_until_healthy()
        with executor:
            code = executor.wait(300)
    assert code == 0, executor.tail(30)
    told = read_json(paths.reports / "session.json")
    waited = told["bar_close_to_order_ms"]
    return {
        "p50_ms": waited["median"], "p99_ms": waited["p99"], "most_ms": waited["most"], "target_p99_ms": 50,
        "decide_p50_ms": told["decide_ms"]["median"], "orders": told["orders"],
    }  # fmt: skip
