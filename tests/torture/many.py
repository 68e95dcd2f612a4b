"""Many schedules side by side, one journal for all of them, and the figures of the whole."""

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url, stop_embedded
from pipelines.tables import write_json
from tests.torture.play import NAKED_LIMIT_S, Story, play
from tests.torture.schedule import AT_CALLS, AT_COMMITS, Kill, Schedule, Where, reference

CONSOLE = Console(soft_wrap=True)


def play_many(schedules: Sequence[Schedule], edges: int, workers: int, folder: Path, report: Path | None) -> int:
    """Play schedules and `edges` kills of the reference day, tell of those that failed; the exit code.

    Parameters
    ----------
    edges : how many, evenly spread over all there are; below zero for all
    report : JSON file that gets the figures
    """
    database = database_url("journal")
    try:
        journal_at(database).close()
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            chosen = [*schedules, *(_edges(pool.submit(play, reference(), database, folder).result(), edges))]
            jobs = [pool.submit(play, schedule, database, folder) for schedule in chosen]
            stories = []
            for job in track(as_completed(jobs), "torture", total=len(jobs), console=CONSOLE):
                stories.append(job.result())
                if stories[-1].wrong or len(chosen) == 1:
                    tell(stories[-1])
    finally:
        stop_embedded()
    told = figures(stories)
    CONSOLE.print(told)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        write_json(told, report)
    return 1 if told["failed"] else 0


def tell(story: Story) -> None:
    schedule = story.schedule
    pace = "lockstep" if schedule.pace is None else f"pace {schedule.pace:g}"
    CONSOLE.print(f"[bold]{schedule.name}[/] {pace}, {schedule.bars} bars, {schedule.volume} shares a bar")
    for life in story.lives:
        CONSOLE.print(f"  daemon {escape(life)}")
    if story.faults:
        CONSOLE.print("  faults: " + ", ".join(f"{kind} {count}" for kind, count in story.faults.items()))
    for sentence in story.wrong:
        CONSOLE.print(f"  [red]{escape(sentence)}[/]")


def figures(stories: Iterable[Story]) -> dict[str, Any]:
    """What `reports/torture.json` holds."""
    stories = list(stories)
    kills, faults = Counter[str](), Counter[str]()
    for story in stories:
        kills.update(story.kills)
        faults.update(story.faults)
    found = [story.findings for story in stories]
    return {
        "schedules": len(stories),
        "kills": kills.total(),
        "faults": faults.total(),
        "duplicates": sum(len(f.duplicates) for f in found),
        "lost_fills": sum(len(f.lost_fills) for f in found),
        "orphans": sum(len(f.orphans) for f in found),
        "naked_seconds_max": _most(story.naked_seconds for story in stories),
        "naked_limit_seconds": NAKED_LIMIT_S,
        "naked_beyond_limit": sum(story.naked_seconds > NAKED_LIMIT_S for story in stories),
        "naked_seconds_max_while_dead": _most(story.naked_seconds_dead for story in stories),
        "naked_wall_seconds_max": _most(story.naked_seconds_wall for story in stories),
        "broker_silences": sum(story.silences for story in stories),
        "broker_silent_seconds_max": _most(story.silent_seconds for story in stories),
        "cash_mismatches": sum(len(f.cash_mismatches) for f in found),
        "crashes": sum(story.crashes for story in stories),
        "orders": sum(f.orders for f in found),
        "fills": sum(f.fills for f in found),
        "outcomes": sum(f.outcomes for f in found),
        "kills_by_place": {str(where): count for where, count in sorted(kills.items())},
        "faults_by_kind": dict(sorted(faults.items())),
        "failed": sorted(story.schedule.name for story in stories if story.wrong),
        "seconds_of_play": round(sum(story.seconds for story in stories), 1),
    }


def _edges(whole: Story, wanted: int) -> list[Schedule]:
    """A kill for each edge that the undisturbed reference day goes by, or as many of them as are wanted."""
    if wanted and whole.wrong:
        tell(whole)
        raise SystemExit("the reference day fails without a kill")
    places = (*AT_COMMITS, *AT_CALLS)
    kills = [Kill(Where(where), count) for where in places for count in range(whole.edges[where])]
    if 0 <= wanted < len(kills):
        kills = [kills[i * len(kills) // wanted] for i in range(wanted)]
    return [reference(kill) for kill in kills]


def _most(seconds: Iterable[float]) -> float:
    return round(max(seconds, default=0.0), 3)
