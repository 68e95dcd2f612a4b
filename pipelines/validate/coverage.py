"""Instruments judged by how much of their sessions they hold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from pipelines.domain.data_rules import RULES, Severity
from pipelines.domain.errors import DataRejected
from pipelines.validate.completeness import Completeness
from pipelines.validate.judge import examine
from pipelines.validate.sieve import EXAMPLES, Finding

SPELT_OUT = 5  #: instruments of one rule; of more, the first ones stand for all


@dataclass(frozen=True)
class Covered:
    dropped: Mapping[str, float]  #: share of its sessions' bars that an instrument holds which leaves the run
    findings: tuple[Finding, ...]
    verdict: Any
    notes: tuple[str, ...]


def covered(found: Mapping[str, Completeness], least: float, chosen: Mapping[str, Severity]) -> Covered:
    """Judge the instruments (at least one); of these rules `quarantine` takes the instrument out of the run.

    Raises
    ------
    DataRejected : if a rule that a person made `stop` is broken.
    """
    from expectations import instruments

    table = pd.DataFrame([{"symbol": symbol} | asdict(one) for symbol, one in found.items()])
    examined = examine(table, instruments.suite(min_completeness=least, chosen=chosen))
    dropped: dict[str, float] = {}
    findings, notes = [], []
    for one in examined.broken:
        rows = table.loc[list(one.rows)].sort_values(["share", "symbol"])
        told = [one.reason.format_map(row) for row in rows.to_dict("records")]
        findings.append(Finding("instruments", one.rule, one.severity, len(rows), len(rows), tuple(told[:EXAMPLES])))
        if one.severity is Severity.STOP:
            raise DataRejected(
                f"{told[0]} ({len(rows)} of {len(table)} instruments), on which a run stops (validate.severity); "
                f"{RULES[one.rule].remedy}"
            )
        if one.severity is Severity.QUARANTINE:
            dropped |= dict(zip(rows["symbol"], rows["share"], strict=True))
            told = [f"{sentence}: dropped" for sentence in told]
        notes += _in_short(told)
    return Covered(dropped, tuple(findings), examined.verdict, tuple(notes))


def _in_short(told: list[str]) -> list[str]:
    if len(told) <= SPELT_OUT:
        return told
    return [*told[:EXAMPLES], f"and {len(told) - EXAMPLES} more instruments likewise; reports/data_docs tells all"]
