"""What `tradesage ladder`, `rollback` and `retire` do. The journal decides; MLflow only shows, and may be away."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.journal.journal import Journal
from pipelines.params import load_params
from pipelines.promotion.candidates import open_candidates
from pipelines.promotion.ladder import AUTOMATA, AliasStore, Promotion, Refusal, promote, rollback, show
from pipelines.promotion.registry import default_registry
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage

CONSOLE = Console()
#: From the one that trades with most money downwards
ORDER = (Stage.CHAMPION, Stage.PREVIOUS, Stage.CANARY, Stage.PAPER, Stage.SHADOW, Stage.CANDIDATE)
SHOWN_REFUSALS = 5


def roll_back(root: Path, reason: str, by: str) -> int:
    """The champion before the present one comes back, the present one is retired. The exit code."""
    return _moved(root, reason, by, lambda registry, journal: rollback(registry, journal, by, reason))


def retire(root: Path, version: str, reason: str, by: str, *, force: bool) -> int:
    """A version leaves every stage and is served no longer. The exit code.

    `force` takes the champion, too, though nobody stands there afterwards.
    """

    def leave(registry: AliasStore, journal: Journal) -> Promotion | Refusal:
        return promote(registry, journal, version, Stage.RETIRED, by, reason, champion_too=force)

    return _moved(root, reason, by, leave)


def to_shadow(root: Path, version: str, reason: str, by: str) -> int:
    """A version goes to shadow if its sanity gates pass: it is watched and trades nothing. The exit code."""

    def enter(registry: AliasStore, journal: Journal) -> Promotion | Refusal:
        return promote(registry, journal, version, Stage.SHADOW, by, reason)

    return _moved(root, reason, by, enter)


def show_ladder(root: Path) -> int:
    """What stands where and since when, what waits, and what was refused last. The exit code."""
    model = load_params(root / "params.yaml").promotion.model
    journal = _journal()
    try:
        events, refusals = journal.policy_events(model), journal.policy_refusals(model)
    finally:
        journal.close()
    CONSOLE.print(_stages(model, events), highlight=False)
    for candidate, step in open_candidates(events, refusals):
        CONSOLE.print(f"version {candidate.version} waits for {step}, registered {_moment(candidate.at)}")
    for row in refusals[-SHOWN_REFUSALS:]:
        line = f"{_moment(row['at'])}: {row['asked']} refused to version {row['version']} by {row['actor']}"
        CONSOLE.print(f"{line}: {row['reason']}", markup=False, highlight=False)
    return 0


def _moved(root: Path, reason: str, by: str, move: Callable[[AliasStore, Journal], Promotion | Refusal]) -> int:
    if not reason.strip():
        raise BadInput("the reason is empty; say why, it goes into the journal and the audit")
    if by.strip().lower() in AUTOMATA:
        raise BadInput(f"{by} is the name of a process of ours; give a person's by --by")
    registry, journal = default_registry(load_params(root / "params.yaml")), _journal()
    try:
        done = move(registry, journal)
        behind = show(registry, journal) if isinstance(done, Promotion) else None
    finally:
        journal.close()
    if isinstance(done, Refusal):
        CONSOLE.print(f"not moved: {done}", style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    away = f"; version {done.displaced} is retired" if done.to_stage is Stage.CHAMPION and done.displaced else ""
    told = f"version {done.version} of {done.model} is {done.to_stage} now{away}; the journal has it"
    CONSOLE.print(told, highlight=False, markup=False, soft_wrap=True)
    if behind is not None:
        CONSOLE.print(
            f"{behind}; what is served follows the journal",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return 0


def _stages(model: str, events: list[dict[str, Any]]) -> Table:
    table = Table(title=f"ladder of {model}", title_justify="left")
    for heading in ("stage", "version", "policy", "since", "by", "why"):
        table.add_column(heading)
    standing = signatures(events)
    for stage in ORDER:
        signature = standing.get(stage.value)
        if signature is None:
            table.add_row(stage.value, "–", "", "", "", "")
            continue
        entered = Stage.CHAMPION if stage is Stage.PREVIOUS else stage
        last = [e for e in events if (e["version"], e["to_stage"]) == (signature.version, entered)][-1]
        policy = signature.registration.policy_version if signature.registration else "not registered"
        table.add_row(stage.value, signature.version, policy, _moment(last["at"]), last["actor"], last["reason"])
    return table


def _moment(at: datetime) -> str:
    return f"{at.astimezone(IST):%Y-%m-%d %H:%M}"


def _journal() -> Journal:
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url

    return journal_at(database_url("journal"))
