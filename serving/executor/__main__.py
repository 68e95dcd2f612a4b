"""`python -m serving.executor`: trade one account by the policy that the service serves."""

import argparse
import signal
import sys
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pipelines.credentials import credential, without_secrets
from pipelines.domain.api_order_rules import static_ip_note
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, NotAllowed, ServiceUnavailable, TradeSageError
from pipelines.params import Params, load_params
from pipelines.paths import Paths, state_folder
from serving.executor.access import Access, Keys, PaperLogin, TokenFile, TokenSource, keys_for, token_file
from serving.executor.kite_client import KITE, LOOPBACK, client
from serving.executor.logs import hook_tracebacks, log_to_stderr

if TYPE_CHECKING:  # what needs long to import comes late: a wrong argument is answered at once
    from pipelines.journal.memory import AnyJournal
    from pipelines.pacing import ReadPacer
    from serving.executor.broker import KiteBroker
    from serving.executor.marketplace import KitePlace, PaperPlace
    from serving.executor.pacing import OrderPacer
    from serving.executor.policy_client import PolicyClient


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    log_to_stderr()
    hook_tracebacks()
    signal.signal(signal.SIGTERM, _leave)
    try:
        _run(given)
    except TradeSageError as error:
        print(f"executor: {type(error).__name__}: {without_secrets(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.executor", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="workspace: holds params.yaml and data/")
    parser.add_argument(
        "--broker",
        choices=("paper", "kite"),
        default="paper",
        help="paper: a paper exchange and its own routes; kite: Kite's routes only, session after session",
    )
    parser.add_argument("--exchange", help="address of a paper exchange, e.g. http://127.0.0.1:7070; else Kite's")
    parser.add_argument("--policy", required=True, help="address of the policy service, e.g. http://127.0.0.1:3000")
    parser.add_argument("--port", type=int, help="of /health and /metrics; serving.executor_port if not given")
    parser.add_argument("--until-finished", action="store_true", help="paper: close everything at the end and leave")
    parser.add_argument("--days", type=int, help="kite: leave after so many sessions")
    parser.add_argument(
        "--demonstration",
        action="store_true",
        help="leave `tradesage halt` and `flatten` to the executor that trades in this state folder",
    )
    parser.add_argument(
        "--await-login", action="store_true", help="wait for `tradesage login` at a paper exchange, too"
    )
    return parser


def _run(given: argparse.Namespace) -> None:
    from pipelines.journal import journal_at
    from pipelines.journal.connecting import PROMPT
    from pipelines.journal.postgres import database_url
    from pipelines.journal.spool import SpooledJournal
    from serving.executor.broker import KiteBroker
    from serving.executor.daemon import Daemon
    from serving.executor.door import Door
    from serving.executor.feed import stop_reactor
    from serving.executor.health import HealthServer, Metrics, OrderTimes
    from serving.executor.policy_client import PolicyClient
    from serving.executor.trading_state import halt_file
    from serving.executor.vitals import Vitals
    from serving.executor.whereabouts import note_whereabouts

    root = _root(given)
    params, paths = load_params(given.root / "params.yaml"), Paths(given.root)
    with ExitStack() as stack:
        paper = _paper_place(given, root, stack)
        policy = PolicyClient(given.policy, credential("policy_token"), params.serving.deadline_ms)
        stack.callback(policy.close)
        spool = state_folder() / "spool"
        journal = SpooledJournal(journal_at(database_url("journal"), PROMPT), spool)
        stack.callback(journal.close)
        if root == KITE:
            _refuse_early(policy, params, journal)
        pacer, reads = (None, None) if paper is not None and paper.lockstep else _pacers(params)
        keys = keys_for(root)
        kite = client(keys.api_key, root, reads)
        access = Access(kite, _token_source(given, root, keys))
        metrics = Metrics()
        calls = OrderTimes(metrics)
        broker = KiteBroker(kite, pacer, renew=access.renew, on_call=calls.note)
        place = paper or _kite_place(given, root, broker)
        vitals = Vitals(place, access, broker, policy, metrics)
        port = given.port or params.serving.executor_port
        stack.callback(HealthServer(params.serving.host, port, vitals.health, metrics).close)
        door = None if given.demonstration else Door()
        if door is not None:
            stack.callback(door.close)
        access.await_token(vitals.enter)
        daemon = Daemon(
            account=_account(broker, paper),
            params=params,
            paths=paths,
            place=place,
            access=access,
            broker=broker,
            journal=journal,
            policy=policy,
            flatten_at_end=given.until_finished,
            metrics=metrics,
            vitals=vitals,
            calls=calls,
            asked=door.asked if door is not None else tuple,
            halt_file=None if given.demonstration else halt_file(),
        )
        if not given.demonstration:
            note_whereabouts(daemon.account, root, paper=paper is not None, workspace=given.root, port=port)
        if root == KITE:
            structlog.get_logger("executor").warning("live", note=static_ip_note(datetime.now(IST).date()))
        stack.callback(stop_reactor)
        daemon.run()


def _refuse_early(policy: "PolicyClient", params: Params, journal: "AnyJournal") -> None:
    """Before anybody logs in: raises NotAllowed if the policy may not trade with money, and nothing is open.

    A policy that is away is asked again later.
    """
    from serving.executor.marketplace import refuse_money
    from serving.executor.signed_policy import refuse_unsigned
    from serving.executor.under_way import under_way

    try:
        served = policy.describe()
        refuse_money(KITE, served, params.executor.live)
        refuse_unsigned(KITE, served, partial(journal.policy_events, params.promotion.model))
    except ServiceUnavailable:
        return
    except NotAllowed:
        if not any(under_way(journal, account) for account in journal.accounts()):
            raise


def _root(given: argparse.Namespace) -> str:
    """The broker's address; anything but Kite and this machine is refused, since the token would go there."""
    if given.exchange is None:
        if given.broker == "paper":
            raise BadInput("--exchange is missing: the address of the paper exchange, e.g. http://127.0.0.1:7070")
        return KITE
    if not given.exchange.startswith(LOOPBACK):
        raise BadInput(
            f"--exchange {given.exchange}: a paper exchange runs on this machine; to trade at Kite: --broker kite"
        )
    return str(given.exchange).rstrip("/")


def _paper_place(given: argparse.Namespace, root: str, stack: ExitStack) -> "PaperPlace | None":
    from serving.executor.marketplace import PaperPlace
    from serving.executor.paper import PaperMarket

    if given.broker != "paper":
        return None
    paper = PaperMarket(root, credential("exchange_admin_token"))
    stack.callback(paper.close)
    return PaperPlace(root, paper)


def _kite_place(given: argparse.Namespace, root: str, broker: "KiteBroker") -> "KitePlace":
    from serving.executor.marketplace import KitePlace, exchange_clock, machine_clock

    if root == KITE:
        return KitePlace(root, machine_clock, cash_is_a_ledger=False, days=given.days)
    return KitePlace(root, exchange_clock(broker.quote), cash_is_a_ledger=True, days=given.days)


def _pacers(params: Params) -> "tuple[OrderPacer, ReadPacer]":
    from pipelines.pacing import ReadPacer
    from serving.executor.pacing import OrderPacer

    limits = params.executor
    return (
        OrderPacer(limits.max_orders_per_second, limits.max_orders_per_minute, limits.max_orders_per_day),
        ReadPacer(),
    )


def _token_source(given: argparse.Namespace, root: str, keys: Keys) -> TokenSource:
    return TokenFile(token_file(root)) if root == KITE or given.await_login else PaperLogin(root, keys)


def _account(broker: "KiteBroker", paper: "PaperPlace | None") -> str:
    """An account is a broker's client; each run of the paper exchange is one of its own."""
    user = broker.user_id()
    return user if paper is None else f"{user}-{paper.run}"


def _leave(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
