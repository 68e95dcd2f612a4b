"""One table against its suite, and what follows from it: stop, set rows aside, or tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipelines.domain.data_rules import RULES, Severity
from pipelines.domain.errors import DataRejected
from pipelines.validate.judge import Broken, examine
from pipelines.validate.quarantine import as_json, nothing_aside, set_aside
from pipelines.validate.release import Released

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

EXAMPLES = 3  #: told of each rule


@dataclass(frozen=True)
class Kept:
    """How the rows of one kind of table are kept in the quarantine."""

    table: str  #: bars, ticks, news, outcomes
    time: str  #: column of the row's time
    columns: tuple[str, ...]  #: the row as it came


@dataclass(frozen=True)
class Finding:
    """How often one rule was broken in one table."""

    table: str
    rule: str
    severity: Severity
    rows: int  #: of them, released ones not counted
    instruments: int
    examples: tuple[str, ...]

    def in_words(self) -> str:
        return f"{self.rule} {self.rows:,}"


@dataclass(frozen=True)
class Sifted:
    """What a table's suite left of it."""

    sound: pd.DataFrame
    aside: pd.DataFrame  #: QUARANTINE_COLUMNS, indexed as the table's rows were
    findings: tuple[Finding, ...]
    verdict: Any  #: Great Expectations' own
    released: int = 0  #: breaches that a person let pass


def sift(table: pd.DataFrame, suite: "ExpectationSuite", kept: Kept, released: Released, own: Sequence[str]) -> Sifted:
    """Judge `table` (its index is unique) and act on each broken rule by its severity.

    Parameters
    ----------
    own : the columns that are left of what is sound; the others are facts that only judging needs

    Raises
    ------
    DataRejected : if a rule on the table itself, or one that a person made `stop`, is broken.
    """
    examined = examine(table, suite)
    for one in examined.broken:
        if not one.rows:
            raise DataRejected(f"the {kept.table} break the rule {one.rule} ({one.told}); {RULES[one.rule].remedy}")
    heavy = [_pairs(table, one, kept) for one in examined.broken if one.severity is not Severity.WARN]
    pairs = pd.concat(heavy or [_no_pairs()], ignore_index=True).drop_duplicates(["label", "rule"], ignore_index=True)
    suspects = table.loc[sorted(set(pairs["label"]))]
    lines = pd.Series(as_json(suspects, kept.columns), index=suspects.index, dtype="str")
    free = pd.Series(released.holds(pairs["symbol"], pairs["rule"], lines.reindex(pairs["label"])), dtype=bool)
    pairs = pairs[~free]
    findings = (*_findings(pairs, kept.table), *_warnings(table, examined.broken, kept))
    _stop(pairs, kept.table)
    first = pairs.drop_duplicates("label").set_index("label").sort_index()
    gone = table.loc[first.index]
    aside = set_aside(gone, kept.table, kept.time, kept.columns, first["rule"].tolist(), first["reason"].tolist())
    own_columns = table[list(own)]
    sound = own_columns[~table.index.isin(gone.index)] if len(gone) else own_columns
    return Sifted(sound, aside, findings, examined.verdict, int(free.sum()))


def nothing_sifted(table: pd.DataFrame) -> Sifted:
    """Of a table without rows, which needs no judging."""
    return Sifted(table, nothing_aside(), (), None)


def _no_pairs() -> pd.DataFrame:
    names = ("label", "symbol", "rule", "severity", "reason", "where")
    return pd.DataFrame({name: pd.Series(dtype="int64" if name == "label" else "str") for name in names})


def _pairs(table: pd.DataFrame, one: Broken, kept: Kept) -> pd.DataFrame:
    """A row for each row of the table that breaks one rule."""
    rows = table.loc[list(one.rows)]
    return pd.DataFrame(
        {
            "label": rows.index,
            "symbol": rows["symbol"].astype("str").to_numpy(),
            "rule": one.rule,
            "severity": one.severity.value,
            "reason": _reasons(one, rows),
            "where": _where(rows),
        }
    )


def _reasons(one: Broken, rows: pd.DataFrame) -> list[str]:
    return [one.reason.format_map(row) for row in rows.to_dict("records")]


def _where(rows: pd.DataFrame) -> list[str]:
    if "source" not in rows:
        return [str(symbol) for symbol in rows["symbol"]]
    return [f"{source} row {row}" for source, row in zip(rows["source"], rows["source_row"], strict=True)]


def _findings(pairs: pd.DataFrame, table: str) -> list[Finding]:
    found = []
    for name, own in pairs.groupby("rule", sort=False):
        told = own.head(EXAMPLES)
        examples = tuple(f"{where}: {reason}" for where, reason in zip(told["where"], told["reason"], strict=True))
        severity = Severity(own["severity"].iloc[0])
        found.append(Finding(table, str(name), severity, len(own), own["symbol"].nunique(), examples))
    return found


def _warnings(table: pd.DataFrame, broken: Sequence[Broken], kept: Kept) -> list[Finding]:
    """Counted without spelling out every row: a source that is off its ticks is off them in nearly all."""
    by_rule: dict[str, list[Broken]] = {}
    for one in broken:
        if one.severity is Severity.WARN:
            by_rule.setdefault(one.rule, []).append(one)
    found = []
    for name, some in by_rule.items():
        rows = table.loc[sorted({label for one in some for label in one.rows})]
        told = table.loc[list(some[0].rows[:EXAMPLES])]
        examples = tuple(f"{a}: {b}" for a, b in zip(_where(told), _reasons(some[0], told), strict=True))
        found.append(Finding(kept.table, name, Severity.WARN, len(rows), rows["symbol"].nunique(), examples))
    return found


def _stop(pairs: pd.DataFrame, table: str) -> None:
    stopping = pairs[pairs["severity"] == Severity.STOP.value]
    if len(stopping):
        first = stopping.iloc[0]
        count = int((stopping["rule"] == first["rule"]).sum())
        raise DataRejected(
            f"the {table} break {first['rule']} in {count} rows, on which a run stops (validate.severity); first: "
            f"{first['symbol']}, {first['where']}: {first['reason']}; {RULES[first['rule']].remedy}"
        )


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of one table with those of one rule in one; instruments are those of the larger part."""
    found: dict[str, Finding] = {}
    for one in findings:
        first = found.get(one.rule)
        found[one.rule] = one if first is None else replace(
            first, rows=first.rows + one.rows, instruments=max(first.instruments, one.instruments)
        )  # fmt: skip
    return list(found.values())


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Worst first, then by table and rule."""
    weight = {Severity.STOP: 0, Severity.QUARANTINE: 1, Severity.WARN: 2}
    return sorted(findings, key=lambda one: (weight[one.severity], one.table, -one.rows, one.rule))
