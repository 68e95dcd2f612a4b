"""Many schedules side by side, one journal for all of them."""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url, stop_embedded
from pipelines.tables import write_json
from tests.conftest import ROOT
from tests.torture.play import Story, play
from tests.torture.schedule import schedule_of


def play_many(seeds: list[int], workers: int, folder: Path, *, faults: bool = True) -> int:
    console = Console()
    database = database_url("journal")
    try:
        journal_at(database).close()
        stories: list[Story] = []
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            jobs = [pool.submit(_one, seed, database, folder, faults) for seed in seeds]
            for job in track(as_completed(jobs), "torture", total=len(jobs), console=console):
                story = job.result()
                stories.append(story)
                if story.wrong:
                    console.print(f"seed {story.schedule.seed}: {'; '.join(story.wrong)[:3000]}")
    finally:
        stop_embedded()
    told = figures(stories)
    console.print(told)
    write_json(told, ROOT / "reports" / "torture.json")
    return 1 if any(story.wrong for story in stories) else 0


def _one(seed: int, database: str, folder: Path, faults: bool) -> Story:
    return play(schedule_of(seed, faults=faults), database, folder)


def figures(stories: list[Story]) -> dict[str, Any]:
    """What `reports/torture.json` holds."""
    kinds: Counter[str] = Counter()
    for story in stories:
        kinds.update(story.faults)
    return {
        "schedules": len(stories),
        "kills": sum(story.kills for story in stories),
        "faults": sum(kinds.values()),
        "duplicates": sum(story.findings.duplicates for story in stories),
        "lost_fills": sum(story.findings.lost_fills for story in stories),
        "orphans": sum(story.findings.orphans for story in stories),
        "naked_seconds_max": max((story.findings.naked_seconds for story in stories), default=0.0),
        "naked_seconds_max_while_dead": max((story.findings.naked_dead_seconds for story in stories), default=0.0),
        "cash_mismatches": sum(story.findings.cash_mismatches for story in stories),
        "faults_by_kind": dict(sorted(kinds.items())),
        "orders": sum(story.findings.orders for story in stories),
        "fills": sum(story.findings.fills for story in stories),
        "outcomes": sum(story.findings.outcomes for story in stories),
        "failed_seeds": sorted(story.schedule.seed for story in stories if story.wrong),
        "seconds": round(sum(story.seconds for story in stories), 1),
    }
