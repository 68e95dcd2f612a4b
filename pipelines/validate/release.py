"""Rows that a person let out of the quarantine: which, from which rule, who, when and why.

The file `expectations/released.csv` is committed with the project, so that a run can be told by its commit. A release
holds for one row with one content and one rule: when the source changes the row, it is judged anew.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from pipelines.domain.data_rules import RULES
from pipelines.domain.errors import BadInput


@dataclass(frozen=True, slots=True)
class Release:
    """One row of the file; texts all."""

    symbol: str
    time: str  #: the row's own, as in the quarantine
    rule: str
    source: str  #: where the row came from when it was released
    digest: str  #: SHA-256 of the row as the quarantine keeps it
    who: str
    when: str
    why: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.symbol, self.rule, self.digest


COLUMNS = tuple(field.name for field in fields(Release))


def digest(row: str) -> str:
    """Of a row's values as the quarantine keeps them."""
    return hashlib.sha256(row.encode()).hexdigest()


@dataclass(frozen=True)
class Released:
    """All releases, asked row by row."""

    releases: tuple[Release, ...] = ()

    def holds(self, symbols: Iterable[str], rules: Iterable[str], rows: Iterable[str]) -> list[bool]:
        """Whether each row, with its content, is released from its rule."""
        if not self.releases:
            return [False for _ in symbols]
        known = {release.key for release in self.releases}
        return [key in known for key in zip(symbols, rules, map(digest, rows), strict=True)]


def read_released(path: Path) -> Released:
    """The file's releases; none if it is absent.

    Raises
    ------
    BadInput : if the file has other columns, or a rule that is not known or cannot be released.
    """
    if not path.exists():
        return Released()
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no CSV ({error}); take it from the last commit") from None
    releases = []
    for place, row in enumerate(rows, start=2):
        if set(row) != set(COLUMNS) or None in row.values():
            raise BadInput(f"{path} row {place}: wanted the columns {', '.join(COLUMNS)}; correct or remove the row")
        releases.append(Release(**row))
        _check(releases[-1].rule, f"{path} row {place}")
    return Released(tuple(releases))


def write_released(releases: Sequence[Release], path: Path) -> None:
    """Write them in order of symbol, time and rule, so that a commit shows what changed."""
    from pipelines.tables import write_text

    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in sorted(releases, key=lambda one: (one.symbol, one.time, one.rule)))
    write_text(out.getvalue(), path)


def releases_of(rows: pd.DataFrame, who: str, when: str, why: str) -> list[Release]:
    """What releases rows of the quarantine, each from the rule it lies there for.

    Raises
    ------
    BadInput : if a rule cannot be released from: what the row holds cannot be, so it has to be mended.
    """
    found = []
    for row in rows.to_dict("records"):
        _check(row["rule"], f"{row['symbol']} {row['time']}")
        found.append(Release(row["symbol"], row["time"], row["rule"], f"{row['source']}:{row['source_row']}",
                             digest(row["row"]), who, when, why))  # fmt: skip
    return found


def _check(rule: str, where: str) -> None:
    if rule not in RULES:
        raise BadInput(f"{where}: no rule is called {rule}; see docs/validation.md")
    if not RULES[rule].releasable:
        raise BadInput(f"{where}: nothing can be released from {rule}; {RULES[rule].remedy}")
