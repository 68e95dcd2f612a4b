"""How the run's bars are spread, against an earlier run's or against their own beginning.

A split that nobody took in, a source that changed its unit or another universe shows in the spread of returns, ranges
and volumes before it shows in a single row. It is told, never acted on: markets do change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.corporate_actions import adjusted
from pipelines.domain.data_rules import RULES, Severity
from pipelines.domain.errors import BadInput, DataRejected
from pipelines.domain.portable_math import logs
from pipelines.tables import read_json
from pipelines.validate.in_time import Floats, InTime
from pipelines.validate.judge import examine
from pipelines.validate.sieve import Finding

BINS = 10
LEAST_SHARE = 1e-4  #: counted for a bin that nothing fell into
LEAST_ROWS = 500  #: below them no spread is compared
SELF = "the first half of the history"

#: By column: `edges` (of BINS bins, the outer ones open) and `shares` of the rows in each
Profile = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Drift:
    profile: Profile  #: of this run, to be named as the reference of a later one
    findings: tuple[Finding, ...]
    verdict: Any
    notes: tuple[str, ...]


def drift(bars: pd.DataFrame, reference: Path | None, chosen: Mapping[str, Severity]) -> Drift:
    """Compare validated bars of stocks (VALIDATED_COLUMNS, of all together) with a reference.

    Parameters
    ----------
    reference : a `profile.json` of an earlier run; None compares the history's second half with its first

    Raises
    ------
    BadInput : if the reference is not there or is no profile.
    DataRejected : if a person made drift `stop`.
    """
    from expectations import drift as suites

    columns = _columns(bars)
    own = {name: _profile(values) for name, values in columns.items() if len(values) >= LEAST_ROWS}
    if reference is None:
        before, after = _halves(bars)
        compared = {name: _profile(values) for name, values in before.items() if len(values) >= LEAST_ROWS}
        columns, named = after, SELF
    else:
        compared, named = _read(reference), str(reference)
    table = pd.DataFrame([
        {"symbol": "", "column": name, "reference": named, "psi": _psi(columns[name], compared[name])}
        for name in columns if name in compared and len(columns[name]) >= LEAST_ROWS
    ], columns=["symbol", "column", "reference", "psi"])  # fmt: skip
    if not len(table):
        return Drift(own, (), None, ())
    examined = examine(table, suites.suite(chosen))
    told = [one.reason.format_map(table.loc[row].to_dict()) for one in examined.broken for row in one.rows]
    if told and examined.broken[0].severity is Severity.STOP:
        raise DataRejected(f"{told[0]}, on which a run stops (validate.severity); {RULES['drift'].remedy}")
    found = (Finding("bars", "drift", Severity.WARN, len(told), 0, tuple(told)),) if told else ()
    return Drift(own, found, examined.verdict, tuple(told))


def _columns(bars: pd.DataFrame) -> dict[str, Floats]:
    """What is comparable over instruments and time: return from close to close, range, change of volume."""
    comparable = adjusted(bars)
    rows = InTime.of(comparable)
    close, volume = rows.column(comparable, "close"), rows.column(comparable, "volume")
    width = (rows.column(comparable, "high") - rows.column(comparable, "low")) / close
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "return": logs(close / rows.before(close)),
            "range": width,
            "volume_change": logs(volume / rows.before(volume)),
        }
    return {name: values[np.isfinite(values)] for name, values in found.items()}


def _halves(bars: pd.DataFrame) -> tuple[dict[str, Floats], dict[str, Floats]]:
    times = bars["open_time"]
    middle = times.min() + (times.max() - times.min()) / 2
    return _columns(bars[times <= middle]), _columns(bars[times > middle])


def _profile(values: Floats) -> dict[str, list[float]]:
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    return {"edges": [float(f"{edge:.9g}") for edge in edges], "shares": _shares(values, edges).tolist()}


def _shares(values: Floats, edges: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return np.round(counts / len(values), 9)


def _psi(values: Floats, reference: dict[str, list[float]]) -> float:
    """Population stability index: sum of (p - q) log(p / q) over the reference's bins."""
    p = np.maximum(_shares(values, np.array(reference["edges"])), LEAST_SHARE)
    q = np.maximum(np.array(reference["shares"]), LEAST_SHARE)
    return float(((p - q) * logs(p / q)).sum())


def _read(path: Path) -> Profile:
    if not path.is_file():
        raise BadInput(f"validate.reference: {path} is not there; name a profile.json of an earlier run, or null")
    try:
        content = read_json(path)
        sound = all(len(one["shares"]) == len(one["edges"]) + 1 for one in content.values())
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise BadInput(f"validate.reference: {path} is no profile; name a data/02_validated/profile.json")
    return content
