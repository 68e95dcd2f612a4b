"""TradeSage's processes: what each one runs, where it listens, what it waits for. Making one starts nothing.

`tradesage up` hands the `Procfile` to honcho, a ready-made process manager (`serving/supervisor.py`). Every line of it
is `python -m serving.processes <name>`, which keeps that one running (`serving/supervising.py`).
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pipelines.credentials import credential
from pipelines.domain.errors import ServiceUnavailable, TradeSageError
from pipelines.params import Params, load_params
from pipelines.paths import Paths, state_folder
from serving.process import (
    LOOPBACK,
    PRIVATE,
    Process,
    ProcessGroup,
    answers,
    free_port,
    require_free_port,
)

__all__ = [
    "NAMES",
    "Process",
    "ProcessGroup",
    "exchange_process",
    "executor_process",
    "free_port",
    "mlflow_process",
    "policy_process",
    "processes",
    "require_free_port",
]

ROOT = Path(__file__).resolve().parents[1]  #: the checkout
AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor")
#: The two cores are shared by all processes; a library that takes both slows the others
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


# --- what each process is -------------------------------------------------------------------------------------------


def postgres_process() -> Process:
    """Keeps the embedded PostgreSQL running (or looks for the named server)."""
    return Process("postgres", (sys.executable, "-m", "serving.processes", "postgres"), folder=ROOT)


def mlflow_process(params: Params, port: int | None = None) -> Process:
    """MLflow's tracking server and registry UI on our database and artifact folder, behind its log-in."""
    from serving.mlflow_environment import mlflow_command, mlflow_environment, mlflow_login

    port = port or params.serving.mlflow_port
    return Process(
        "mlflow",
        mlflow_command(params.serving.host, port),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/api/2.0/mlflow/experiments/get?experiment_id=0",  # asks the database, too
        login=mlflow_login,
        env=mlflow_environment,
        port_key="serving.mlflow_port",
        folder=ROOT,
    )


def airflow_process(params: Params, part: str) -> Process:
    """One of Airflow's parts: api-server, scheduler or dag-processor."""
    from serving.airflow_environment import airflow_commands, airflow_environment, airflow_health_url, clean_airflow

    answers_itself = part == "api-server"
    return Process(
        f"airflow-{part}",
        airflow_commands(params)[part],
        port=params.serving.airflow_port if answers_itself else None,
        health_url=airflow_health_url(params) if answers_itself else None,
        env=partial(airflow_environment, params),
        port_key="serving.airflow_port" if answers_itself else None,
        folder=ROOT,
        upkeep=partial(clean_airflow, params) if part == "scheduler" else None,
        missing=partial(_missing_api_server, airflow_health_url(params)) if part == "scheduler" else None,
    )


def _missing_api_server(health_url: str) -> str | None:
    """Tasks talk to it: one that starts before it fails for nothing."""
    return None if answers(health_url) else "Airflow's api-server, which does not answer yet"


def policy_process(params: Params, port: int | None = None, alias: str | None = None) -> Process:
    """The policy service; healthy once a policy is loaded."""
    port = port or params.serving.policy_port
    command = (sys.executable, "-m", "bentoml", "serve", "serving.service:PolicyService", "--working-dir", str(ROOT))
    return Process(
        "policy",
        (*command, "--host", params.serving.host, "--port", str(port)),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/readyz",
        env={
            "TRADESAGE_ALIAS": alias or params.serving.alias,
            "TRADESAGE_MODEL": params.promotion.model,
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(
                state_folder() / "bentoml" / ("up" if port == params.serving.policy_port else "session")
            ),
            **ONE_THREAD,
        },
        port_key="serving.policy_port",
        folder=ROOT,
    )


def exchange_process(params: Params, root: Path, port: int | None = None) -> Process:
    """The paper exchange over the session bars of the workspace `root`."""
    port = port or params.serving.exchange_port
    return Process(
        "exchange",
        (sys.executable, "-m", "serving.exchange", "--root", str(root), "--port", str(port)),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/paper/status",  # refused without a token, which is an answer
        env=ONE_THREAD,
        port_key="serving.exchange_port",
        folder=ROOT,
        missing=partial(_missing_session, Paths(root)),
    )


def executor_process(
    params: Params,
    root: Path,
    port: int | None = None,
    exchange: str | None = None,
    policy: str | None = None,
    until_finished: bool = False,
    options: tuple[str, ...] = (),
) -> Process:
    """The executor on the workspace `root`; addresses of exchange and policy are those of `params.yaml` by default.

    `options` are further ones of its command line, e.g. `--broker kite --days 1`.
    """
    port = port or params.serving.executor_port
    exchange = exchange or f"http://{LOOPBACK}:{params.serving.exchange_port}"
    policy = policy or f"http://{LOOPBACK}:{params.serving.policy_port}"
    command = (sys.executable, "-m", "serving.executor", "--root", str(root), "--exchange", exchange)
    given = ("--policy", policy, "--port", str(port), *(("--until-finished",) if until_finished else ()))
    return Process(
        "executor",
        (*command, *given, *options),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/health",
        env=ONE_THREAD,
        port_key="serving.executor_port",
        folder=ROOT,
        missing=partial(_missing_exchange, exchange),
        over=partial(_day_is_over, exchange),
    )


def _missing_session(paths: Paths) -> str | None:
    if not any(paths.session_bars.glob("*.parquet")) or not paths.instruments.exists():
        return f"a market to play: {paths.session_bars} is empty; run `dvc repro` or `make demo`"
    return None


def _missing_exchange(exchange: str) -> str | None:
    """The policy is no condition: what is open has to be managed without one, too."""
    return None if answers(f"{exchange}/paper/status") else f"an exchange: {exchange} does not answer yet"


def _day_is_over(exchange: str) -> str | None:
    import httpx

    headers = {"Authorization": f"Bearer {credential('exchange_admin_token')}"}
    try:
        told = httpx.get(f"{exchange}/paper/status", headers=headers, timeout=2.0, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    finished = isinstance(told, dict) and told.get("state") == "finished"
    return "another day: the exchange has played its last one" if finished else None


def _makers(params: Params, root: Path) -> dict[str, Callable[[], Process]]:
    """How to make each process."""
    return {
        "postgres": postgres_process,
        "mlflow": partial(mlflow_process, params),
        **{f"airflow-{part}": partial(airflow_process, params, part) for part in AIRFLOW_PARTS},
        "policy": partial(policy_process, params),
        "exchange": partial(exchange_process, params, root),
        "executor": partial(executor_process, params, root),
    }


#: Key of the section `serving` that holds the port of a process, of those that listen
PORTS = {
    "mlflow": "mlflow_port",
    "airflow-api-server": "airflow_port",
    "policy": "policy_port",
    "exchange": "exchange_port",
    "executor": "executor_port",
}
#: What `python -m serving.processes` does once and ends
COMMANDS = ("prepare", "clean-airflow")
NAMES = ("postgres", "mlflow", *(f"airflow-{part}" for part in AIRFLOW_PARTS), "policy", "exchange", "executor")


def processes(params: Params, root: Path = ROOT, only: tuple[str, ...] | None = None) -> dict[str, Process]:
    """TradeSage's processes by name, in the order in which they are started; none is started by this."""
    makers = _makers(params, root)
    unknown = sorted(set(only or ()) - set(makers))
    if unknown:
        raise ServiceUnavailable(f"there is no process {unknown[0]!r}; known are {', '.join(makers)}")
    return {name: make() for name, make in makers.items() if only is None or name in only}


def main(arguments: list[str]) -> int:
    from serving import supervising
    from serving.airflow_environment import clean_airflow

    if len(arguments) != 1 or arguments[0] not in (*NAMES, *COMMANDS):
        known = " ".join(("prepare", *NAMES, "clean-airflow"))
        print(f"usage: python -m serving.processes <name>, one of: {known}", file=sys.stderr)
        return 2
    os.umask(PRIVATE)
    name = arguments[0]
    try:
        if name not in COMMANDS:
            supervising.end_with_the_supervisor()
        if name == "postgres":
            supervising.hold_postgres()
        params = load_params(ROOT / "params.yaml")
        if name == "prepare":
            supervising.prepare(params)
        elif name == "clean-airflow":
            clean_airflow(params)
        else:
            supervising.supervise(processes(params, only=(name,))[name])
    except TradeSageError as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
