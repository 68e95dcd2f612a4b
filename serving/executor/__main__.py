"""`python -m serving.executor`: trade one account by the policy that the service serves."""

import argparse
import logging
import signal
import sys
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import structlog

from pipelines.credentials import credential
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, TradeSageError
from pipelines.params import load_params
from pipelines.paths import Paths


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    _log_to_stderr()
    signal.signal(signal.SIGTERM, _leave)
    try:
        _run(given)
    except TradeSageError as error:
        print(f"executor: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.executor", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="workspace: holds params.yaml and data/")
    parser.add_argument("--exchange", required=True, help="address of the paper exchange, e.g. http://127.0.0.1:7070")
    parser.add_argument("--policy", required=True, help="address of the policy service, e.g. http://127.0.0.1:3000")
    parser.add_argument("--port", type=int, help="of /health and /metrics; serving.executor_port if not given")
    parser.add_argument("--until-finished", action="store_true", help="close everything at the end and leave")
    return parser


def _run(given: argparse.Namespace) -> None:
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from serving.executor.broker import KiteBroker
    from serving.executor.daemon import Daemon
    from serving.executor.health import HealthServer, Metrics
    from serving.executor.kite_client import LOOPBACK, client
    from serving.executor.login import paper_log_in
    from serving.executor.pacing import OrderPacer, ReadPacer
    from serving.executor.paper import PaperMarket
    from serving.executor.policy_client import PolicyClient

    if not given.exchange.startswith(LOOPBACK):
        raise BadInput(f"--exchange {given.exchange}: only a paper exchange on this machine can be traded at so far")
    params, paths = load_params(given.root / "params.yaml"), Paths(given.root)
    with ExitStack() as stack:
        paper = PaperMarket(given.exchange, credential("exchange_admin_token"))
        policy = PolicyClient(given.policy, credential("policy_token"), params.serving.deadline_ms)
        stack.callback(paper.close)
        stack.callback(policy.close)
        status = paper.status()
        served = policy.describe()
        journal = journal_at(database_url("journal"))
        stack.callback(journal.close)
        waits = status["pace"] == "lockstep"
        key = credential("kite_api_key")
        token = paper_log_in(given.exchange, key, credential("kite_api_secret"), datetime.now(IST))
        kite = client(key, given.exchange, None if waits else ReadPacer())
        kite.set_access_token(token.access_token)
        account = f"{kite.profile()['user_id']}-{status['run']}"
        stack.enter_context(journal.writer_lock(account))
        limits = params.executor
        per = (limits.max_orders_per_second, limits.max_orders_per_minute, limits.max_orders_per_day)
        broker = KiteBroker(kite, None if waits else OrderPacer(*per), served.product)
        daemon = Daemon(
            account=account,
            params=params,
            paths=paths,
            kite=kite,
            broker=broker,
            journal=journal,
            policy=policy,
            served=served,
            paper=paper,
            exchange=given.exchange,
            until_finished=given.until_finished,
            metrics=Metrics(),
        )
        port = given.port or params.serving.executor_port
        stack.callback(HealthServer(params.serving.host, port, daemon.health, daemon.metrics).close)
        daemon.run()


def _log_to_stderr() -> None:
    """One JSON object a line; neither keys nor tokens are ever passed to the logger."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("kiteconnect").setLevel(
        logging.CRITICAL
    )  # its connection errors carry the address with the token


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
