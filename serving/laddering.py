"""What `tradesage ladder`, `rollback` and `retire` do. The journal decides; MLflow only shows, and may be away.

Each ends within seconds also where PostgreSQL hangs, and leaves it as it was found. A word that changes nothing is told
so and not noted.
"""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.deadlines import within
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, JournalAway, NotFound
from pipelines.journal.connecting import TimeLimits
from pipelines.journal.journal import Journal
from pipelines.params import load_params
from pipelines.promotion.candidates import open_candidates
from pipelines.promotion.ladder import AUTOMATA, AliasStore, Promotion, Refusal, promote, rollback, show
from pipelines.promotion.registry import default_registry
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage
from serving.postgres_as_found import postgres_as_found

CONSOLE = Console()
#: From the one that trades with most money downwards
ORDER = (Stage.CHAMPION, Stage.PREVIOUS, Stage.CANARY, Stage.PAPER, Stage.SHADOW, Stage.CANDIDATE)
SHOWN_REFUSALS = 5
FURTHER = " " * 13  #: before what goes on from the line above
UNWRAPPED = (10_000, 24)  #: columns and lines where no terminal shows it
VERSION = re.compile(r"[1-9][0-9]{0,8}")  #: MLflow counts them from 1
#: Of a person who waits at a terminal
BRISK = TimeLimits(lock_s=2.0, call_s=4.0, joined_s=5.0, read_s=6.0)
JOURNAL_S, MOVE_S = 8.0, 20.0  #: seconds until the journal answers, and for all of a move


def roll_back(root: Path, reason: str, by: str) -> int:
    """The champion before the present one comes back, the present one is retired. The exit code."""
    return _moved(root, reason, by, lambda registry, journal: rollback(registry, journal, by, reason))


def retire(root: Path, version: str, reason: str, by: str, *, force: bool) -> int:
    """A version leaves every stage and is served no longer. The exit code.

    `force` takes the champion, too, though nobody stands there afterwards.
    """
    named = _version(version)

    def leave(registry: AliasStore, journal: Journal) -> Promotion | Refusal:
        return promote(registry, journal, named, Stage.RETIRED, by, reason, champion_too=force)

    return _moved(root, reason, by, leave)


def to_shadow(root: Path, version: str, reason: str, by: str) -> int:
    """A version goes to shadow if its sanity gates pass: it is watched and trades nothing. The exit code."""
    named = _version(version)

    def enter(registry: AliasStore, journal: Journal) -> Promotion | Refusal:
        return promote(registry, journal, named, Stage.SHADOW, by, reason)

    return _moved(root, reason, by, enter)


def show_ladder(root: Path) -> int:
    """What stands where and since when, what waits, and what was refused last. The exit code."""
    model = load_params(root / "params.yaml").promotion.model
    with _journal(to_read=True) as journal, within(MOVE_S):
        events, refusals = journal.policy_events(model), journal.policy_refusals(model)
    _say(f"ladder of {model}")
    for line in _stages(events):
        _say(line)
    for candidate, step in open_candidates(events, refusals):
        _say(f"version {candidate.version} waits for {step}, registered {_moment(candidate.at)}")
    for row in refusals[-SHOWN_REFUSALS:]:
        asked = f"{row['asked']} refused to version {row['version']} by {row['actor']}: {row['reason']}"
        _say(f"{_moment(row['at'])}: {asked}")
    return 0


def _moved(root: Path, reason: str, by: str, move: Callable[[AliasStore, Journal], Promotion | Refusal]) -> int:
    if not reason.strip():
        raise BadInput("the reason is empty; say why, it goes into the journal and the audit")
    if by.strip().lower() in AUTOMATA:
        raise BadInput(f"{by} is the name of a process of ours; give a person's by --by")
    params = load_params(root / "params.yaml")
    with _journal() as journal, within(MOVE_S):
        registry = default_registry(params)
        try:
            done = move(registry, journal)
        except JournalAway as error:
            raise JournalAway(f"{error}; `tradesage ladder` tells later whether the move was noted") from None
        behind = show(registry, journal) if isinstance(done, Promotion) else None
    if isinstance(done, Refusal):
        _tell(f"not moved: {done}", "red")
        return 1
    _tell(_in_words(done))
    if behind is not None:
        _tell(f"{behind}; what is served follows the journal", "yellow")
    return 0


def _in_words(done: Promotion) -> str:
    policy = f"version {done.version} of {done.model}"
    if not done.moved:
        return f"nothing changed: {policy} is {done.to_stage} already; nothing was noted, the reason neither"
    away = f"; version {done.displaced} is retired" if done.to_stage is Stage.CHAMPION and done.displaced else ""
    return f"{policy} is {done.to_stage} now{away}; the journal has it"


def _version(text: str) -> str:
    """What a person typed as a version."""
    if not VERSION.fullmatch(text):
        raise BadInput(f"{text[:40]!r} is no version; give its number, for example 3: tradesage ladder shows them")
    return text


def _stages(events: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each stage."""
    standing = signatures(events)
    for stage in ORDER:
        signature = standing.get(stage.value)
        if signature is None:
            yield f"  {stage.value:<10} –"
            continue
        entered = Stage.CHAMPION if stage is Stage.PREVIOUS else stage
        last = [e for e in events if (e["version"], e["to_stage"]) == (signature.version, entered)][-1]
        policy = f"policy {signature.registration.policy_version}" if signature.registration else "not registered"
        since = f"since {_moment(last['at'])} by {last['actor']}: {last['reason']}"
        yield f"  {stage.value:<10} version {signature.version}, {policy}, {since}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(IST):%Y-%m-%d %H:%M}"


def _say(line: str) -> None:
    """Print a line in the terminal's width without cutting a word; what goes on stands further in."""
    columns = shutil.get_terminal_size(fallback=UNWRAPPED).columns
    lines = textwrap.wrap(line, columns, subsequent_indent=FURTHER, break_long_words=False, break_on_hyphens=False)
    for each in lines:
        _tell(each)


def _tell(line: str, style: str | None = None) -> None:
    CONSOLE.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _journal(to_read: bool = False) -> Iterator[Journal]:
    """The journal, which answers soon or is given up.

    Raises
    ------
    NotFound : `to_read`, and there is none yet.
    """
    from pipelines.journal import embedded, journal_at
    from pipelines.journal.postgres import database_url, uses_embedded

    if to_read and uses_embedded() and not embedded.made():
        raise NotFound("nothing was ever registered in this state folder; make a policy first: make demo")
    with postgres_as_found():
        with within(JOURNAL_S):
            journal = journal_at(database_url("journal"), BRISK)
        try:
            yield journal
        finally:
            journal.close()
