"""The promotion with the registry and the journal of this machine: what the DAG calls."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.journal import journal_at
from pipelines.journal.journal import Journal
from pipelines.journal.postgres import database_url
from pipelines.params import Params, load_params
from pipelines.promotion.approval import NotMoved, Request, answered, ask, refuse
from pipelines.promotion.candidates import Looked, work_through
from pipelines.promotion.ladder import Promotion
from pipelines.promotion.registry import default_registry


def look_now(repo: Path, run: str) -> tuple[Looked, ...]:
    """Look at every open candidate, see `work_through`."""
    params = _params(repo)
    with _journal() as journal:
        return work_through(default_registry(params), journal, repo, params.promotion.min_sharpe_gain, run)


def ask_now(repo: Path, version: str | None, move: str) -> Request:
    """What a reviewer is to be shown, see `ask`."""
    with _journal() as journal:
        return ask(_params(repo).promotion.model, journal, version, move, repo)


def refuse_now(repo: Path, asked: Mapping[str, Any], run: str) -> None:
    """Journal a request that the evidence refused."""
    with _journal() as journal:
        refuse(_params(repo).promotion.model, journal, asked, NotMoved(str(asked["refused"])), run)


def settle_now(
    repo: Path, asked: Mapping[str, Any], answer: Mapping[str, Any] | None, reviewers: Collection[str], run: str
) -> Promotion | NotMoved:
    """Make the move that a reviewer approved, or journal who did not, see `answered`."""
    with _journal() as journal:
        return answered(default_registry(_params(repo)), journal, asked, answer, reviewers, repo, run)


def _params(repo: Path) -> Params:
    return load_params(repo / "params.yaml")


@contextmanager
def _journal() -> Iterator[Journal]:
    journal = journal_at(database_url("journal"))
    try:
        yield journal
    finally:
        journal.close()
