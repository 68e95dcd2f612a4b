"""What `tradesage collect` does: ask the sources of `params.yaml` one after the other, and show how it goes."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadParams
from pipelines.ingest.collect import Collected, Wanted, collect
from pipelines.ingest.lake import Lake
from pipelines.ingest.source import Source
from pipelines.params import (
    BarFilesCollect,
    BhavcopyCollect,
    ColumnParams,
    FeedCollect,
    KiteCollect,
    NewsCollect,
    OutcomesCollect,
    Params,
    SourceParams,
    TicksCollect,
    load_params,
)
from pipelines.paths import Paths

CONSOLE = Console(soft_wrap=True)


def collect_now(root: Path, names: Sequence[str], since: date | None, until: date | None) -> tuple[Collected, ...]:
    """Ask the sources named (none: all of `params.yaml`) and tell in one line each what came of it.

    Raises
    ------
    BadParams : if `params.yaml` names no source, or not the one asked for.
    """
    wanted = wanted_of(load_params(root / "params.yaml"), names, root)
    until = until or datetime.now(IST).date()
    if since is not None and since > until:
        raise BadParams(f"--since {since} is after --until {until}; give them in order")
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        task = progress.add_task("collecting", total=None)

        def watch(source: str, piece: Any, stored: Any) -> None:
            progress.update(task, advance=1, description=f"{source}: {piece.key}, {piece.origin[:60]}")

        found = collect(Lake(Paths(root).lake), wanted, since, until, watch)
    for one in found:
        for note in one.notes:
            CONSOLE.print(f"  {note}", style="dim", highlight=False, markup=False)
        CONSOLE.print(one.in_words(), style="red" if one.failed else "", highlight=False, markup=False)
    return found


def wanted_of(params: Params, names: Sequence[str], root: Path) -> list[Wanted]:
    """The sources to ask: those of these names (`kite`, `bhavcopy` ...), or all of `collect.sources`.

    Raises
    ------
    BadParams : if there is none, or none of a name.
    """
    sources = params.collect.sources
    if not sources:
        raise BadParams("collect.sources is empty; name sources in params.yaml, docs/lake.md shows how")
    unknown = sorted(set(names) - {one.source for one in sources})
    if unknown:
        known = ", ".join(dict.fromkeys(one.source for one in sources))
        raise BadParams(
            f"{', '.join(unknown)} is not in collect.sources, which has {known}; add it or correct the name"
        )
    chosen = [one for one in sources if not names or one.source in names]
    return [Wanted(one.source, _maker(one, root, params.ingest.columns)) for one in chosen]


def _maker(one: SourceParams, root: Path, columns: ColumnParams) -> Callable[[], Source]:
    """Makes the source; modules are imported only then, since some take a second."""
    if isinstance(one, BarFilesCollect):
        return lambda: _bar_files(one, root, columns)
    return lambda: _MAKERS[type(one)](one, root)


def _kite(one: KiteCollect, root: Path) -> Source:
    from serving.kite_source import kite_history

    return kite_history(one.symbols, one.interval, one.start)


def _bhavcopy(one: BhavcopyCollect, root: Path) -> Source:
    from pipelines.ingest.sources.bhavcopy_archive import NSE_ARCHIVE, BhavcopyArchive

    place = NSE_ARCHIVE if one.folder is None else root / one.folder
    return BhavcopyArchive(one.start, place, one.symbols, one.actions)


def _ticks(one: TicksCollect, root: Path) -> Source:
    from pipelines.ingest.sources.tick_files import TickFiles

    return TickFiles(root / one.folder, one.symbols)


def _bar_files(one: BarFilesCollect, root: Path, columns: ColumnParams) -> Source:
    from pipelines.ingest.sources.bar_files import BarFiles

    return BarFiles(root / one.folder, columns)


def _news(one: NewsCollect, root: Path) -> Source:
    from pipelines.ingest.sources.entities import read_entities
    from pipelines.ingest.sources.news_files import NewsFile

    entities = read_entities(root / one.entities) if one.entities else None
    return NewsFile(root / one.file, one.columns, entities, one.dated, one.zone, one.date_format)


def _feed(one: FeedCollect, root: Path) -> Source:
    from pipelines.ingest.sources.entities import read_entities
    from pipelines.ingest.sources.news_feeds import NewsFeed

    return NewsFeed(one.url, read_entities(root / one.entities))


def _outcomes(one: OutcomesCollect, root: Path) -> Source:
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from serving.outcome_source import OutcomeSource

    return OutcomeSource(journal_at(database_url("journal")), one.accounts)


_MAKERS: dict[type, Callable[[Any, Path], Source]] = {
    KiteCollect: _kite,
    BhavcopyCollect: _bhavcopy,
    TicksCollect: _ticks,
    NewsCollect: _news,
    FeedCollect: _feed,
    OutcomesCollect: _outcomes,
}
