"""The stages by name and order; a name is that of package, params section, DVC stage and Airflow task."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from pipelines.params import Params
from pipelines.paths import Paths

STAGES = ("ingest", "validate", "features", "regimes", "heads", "policy", "evaluation", "gates")


@dataclass(frozen=True)
class StageReport:
    stage: str
    rows_in: int
    rows_out: int
    notes: tuple[str, ...] = field(default=())  #: sentences a person should read: what was left out, what looked odd

    def in_words(self) -> str:
        lines = [f"{self.stage}: {self.rows_in:,} rows in, {self.rows_out:,} rows out"]
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def stage_named(name: str) -> Callable[[Params, Paths], StageReport]:
    """The `run` of a stage; its module is imported only now, since some take seconds."""
    if name not in STAGES:
        raise KeyError(name)
    return import_module(f"pipelines.{name}.stage").run
