"""What `tradesage halt`, `resume` and `flatten` do: a word in the journal, and a look whether it was heard."""

import getpass
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from pipelines.credentials import credential
from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.domain.halts import Cause, HaltEvent, Mode, Word, state_after
from pipelines.journal.journal import Journal
from pipelines.params import load_params
from serving.executor.trading_state import halt_file, write_halt_file
from serving.executor.whereabouts import Whereabouts, last_whereabouts

HEARD_WITHIN_S = 10.0  #: a daemon reads the journal with every frame, and at least every few seconds
LOOK_S = 1.0
CONSOLE = Console()


def default_actor() -> str:
    """Who asks, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def halt(account: str | None, reason: str, by: str) -> int:
    """No entries from now on; what is open is protected and closed as ever. The exit code."""
    told = _say(Word.HALT, account, reason, by)
    return _confirm(told, {Mode.HALTED, Mode.FLATTENING})


def resume(account: str | None, reason: str, by: str, *, force: bool) -> int:
    """Let trading go on, unless what stopped it still stands. The exit code."""
    with _journal() as journal:
        account = _account(account, journal)
        state = state_after(event for _, event in journal.halt_events(account))
        if not state.standing and not halt_file().exists():
            CONSOLE.print(f"{account} is not halted")
            return 0
        health = _health(account)
        refused = (
            _why_not(health["trading"], health.get("books_equal"), force=force)
            if health
            else _why_not_yet(account, journal, state.standing, force=force)
        )
        if refused:
            CONSOLE.print(f"not resumed: {refused}", style="red", highlight=False)
            return 1
        halt_file().unlink(missing_ok=True)
        journal.record_halt(account, _event(Word.RESUME, reason, by, forced=force))
    return _confirm(account, {Mode.TRADING})


def flatten(account: str | None, reason: str, by: str, patience_s: float) -> int:
    """Halt, leave every position, and prove at the broker that nothing is left. The exit code: 0 only if so."""
    account = _say(Word.FLATTEN, account, reason, by)
    where = last_whereabouts()
    if where is None or where.account != account:
        CONSOLE.print(f"no executor of {account} was started in this state folder: give it back its state folder")
        return 1
    with _journal() as journal, _broker_of(where) as desk:
        standing = _flat_by_daemon(desk, account, journal, patience_s)
        if standing is None:
            CONSOLE.print("no executor answers; this command leaves the positions itself")
            standing = desk.flattener(account, journal).run(patience_s, _shown())
        CONSOLE.print(standing.table(f"{account} at {where.broker}, {datetime.now(IST):%H:%M:%S}"))
        if standing.flat:
            CONSOLE.print("flat: 0 positions, 0 orders", style="green")
            return 0
    CONSOLE.print("NOT flat. Close what the table shows at the broker by hand; docs/runbook.md says how.", style="red")
    return 1


# --- words ---


def _say(word: Word, account: str | None, reason: str, by: str) -> str:
    """Note the word in the journal; if that does not answer, leave it in the file that every executor looks at."""
    event = _event(word, reason, by)
    try:
        with _journal() as journal:
            account = _account(account, journal)
            journal.record_halt(account, event)
    except ServiceUnavailable as error:
        write_halt_file(halt_file(), event)
        CONSOLE.print(f"{error}", style="yellow", highlight=False)
        CONSOLE.print(f"the file {halt_file()} stops every executor of this state folder instead", style="yellow")
        where = last_whereabouts()
        return account or (where.account if where else "every account")
    return account


def _event(word: Word, reason: str, by: str, *, forced: bool = False) -> HaltEvent:
    return HaltEvent(word, Cause.BY_HAND, reason, by, datetime.now(IST), forced)


def _confirm(account: str, wanted: set[Mode]) -> int:
    """Wait until the daemon shows it; without one the next that starts reads it first of all."""
    deadline = time.monotonic() + HEARD_WITHIN_S
    health = _health(account)
    if health is None:
        CONSOLE.print(f"{account}: noted. No executor answers; the next one reads it before it trades.")
        return 0
    while Mode(health["trading"]["mode"]) not in wanted:
        if time.monotonic() > deadline:
            CONSOLE.print(f"noted, but the executor still shows {health['trading']['mode']}: see its log", style="red")
            return 1
        time.sleep(0.2)
        health = _health(account) or health
    told = "; ".join(f"{one['cause']}: {one['reason']} ({one['actor']})" for one in health["trading"]["standing"])
    CONSOLE.print(f"{account}: {health['trading']['mode']}{'. ' + told if told else ''}", highlight=False)
    return 0


def _why_not(trading: dict[str, Any], books_equal: bool | None, *, force: bool) -> str | None:
    """Why a running executor must not go on. Unequal books are no matter of opinion, so force does not help."""
    if books_equal is False:
        return "the books of journal and broker differ; trading goes on by itself when they are equal"
    still = [f"{one['cause']}: {one['reason']}" for one in trading["standing"] if one["still"]]
    if still and not force:
        return f"{'; '.join(still)}. It still stands; to go on all the same: --force"
    return None


def _why_not_yet(account: str, journal: Journal, standing: dict[Cause, HaltEvent], *, force: bool) -> str | None:
    """The same without an executor, from what the journal knows."""
    if Cause.RECONCILIATION in standing:
        return "the books differed when they were last compared; start the executor, it compares them first"
    still = []
    equity = journal.last_equity(account)
    if Cause.DRAWDOWN in standing and equity is not None:
        still.append(f"drawdown: equity {equity.last:.2f} is {equity.drawdown:.2%} below its peak {equity.peak:.2f}")
    if Cause.LOSSES in standing:
        still.append(f"losses in a row: {standing[Cause.LOSSES].reason}")
    return f"{'; '.join(still)}. It still stands; to go on all the same: --force" if still and not force else None


# --- the executor and its broker ---


@contextmanager
def _journal() -> Iterator[Journal]:
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url

    journal = journal_at(database_url("journal"))
    try:
        yield journal
    finally:
        journal.close()


def _account(given: str | None, journal: Journal) -> str:
    """The account meant: the one named, else that of the last executor of this state folder."""
    known = journal.accounts()
    where = last_whereabouts()
    account = given or (where.account if where else None)
    if account is not None and (account in known or (where is not None and account == where.account)):
        return account
    names = ", ".join(known[:5]) or "none"
    if account is None:
        raise NotFound(f"no executor was started in this state folder; give --account, known are: {names}")
    raise NotFound(f"the journal has no account {account}; known are: {names}")


def _health(account: str) -> dict[str, Any] | None:
    """What the account's executor tells, None if none trades now."""
    where = last_whereabouts()
    if where is None:
        return None
    try:
        told = httpx.get(f"http://127.0.0.1:{where.port}/health", timeout=2, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    return told if told.get("account") == account and "trading" in told else None


def _shown() -> Callable[[Any], None]:
    """Prints a line whenever what stands has changed."""
    before: list[tuple[int, int]] = []

    def show(standing: Any) -> None:
        now = (len(standing.shares), len(standing.orders))
        if before[-1:] != [now]:
            before.append(now)
            CONSOLE.print(f"{datetime.now(IST):%H:%M:%S}  {now[0]} positions, {now[1]} working orders", highlight=False)

    return show


def _flat_by_daemon(desk: "BrokerDesk", account: str, journal: Journal, patience_s: float) -> Any:
    """Watch the executor get flat; what stands in the end, None if no executor answers."""
    show, deadline = _shown(), time.monotonic() + patience_s
    while _health(account) is not None:
        standing = desk.standing(account, journal)
        show(standing)
        if standing.flat or time.monotonic() > deadline:
            return standing
        time.sleep(LOOK_S)
    return None


@dataclass
class BrokerDesk:
    """The broker that the last executor traded at, with a token of our own."""

    where: Whereabouts
    kite: Any
    broker: Any
    place: Any
    access_token: str

    def standing(self, account: str, journal: Journal) -> Any:
        from serving.executor.standing import standing_at

        held = {position.symbol for position in journal.open_positions(account)}
        return standing_at(self.broker, {intent.tag for intent in journal.intents(account)}, held)

    def flattener(self, account: str, journal: Journal) -> Any:
        from pipelines.paths import Paths
        from serving.executor.daemon import read_instruments
        from serving.executor.flatten import Flattener

        paths = Paths(Path(self.where.workspace))
        return Flattener(
            account,
            load_params(paths.root / "params.yaml"),
            paths,
            read_instruments(paths),
            self.broker,
            journal,
            self.place,
            self.kite.api_key,
            self.access_token,
        )


@contextmanager
def _broker_of(where: Whereabouts) -> Iterator[BrokerDesk]:
    from serving.executor.access import Access, PaperLogin, TokenFile, keys_for, token_file
    from serving.executor.broker import KiteBroker
    from serving.executor.feed import stop_reactor
    from serving.executor.kite_client import KITE, client
    from serving.executor.marketplace import KitePlace, PaperPlace, exchange_clock, machine_clock
    from serving.executor.paper import PaperMarket

    keys = keys_for(where.broker)
    kite = client(keys.api_key, where.broker)
    source = TokenFile(token_file(where.broker)) if where.broker == KITE else PaperLogin(where.broker, keys)
    access = Access(kite, source)
    if not access.renew() or access.token is None:
        raise ServiceUnavailable(f"{where.broker} gives no token; start the exchange, or run: tradesage login")
    broker = KiteBroker(kite, renew=access.renew)
    paper = None
    try:
        if where.paper:
            paper = PaperMarket(where.broker, credential("exchange_admin_token"))
            place: Any = PaperPlace(where.broker, paper)
        else:
            live = where.broker == KITE
            place = KitePlace(where.broker, machine_clock if live else exchange_clock(broker.quote), not live)
        yield BrokerDesk(where, kite, broker, place, access.token.access_token)
    finally:
        stop_reactor()
        if paper is not None:
            paper.close()
