"""A table against its suite: Great Expectations judges, we read its verdict."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.domain.data_rules import Severity
from pipelines.validate.screen import columns_of, in_doubt

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

MANY, FEW_ROWS = 0.02, 10_000  #: an expectation that doubts so large a share of so many rows is judged on its own


@dataclass(frozen=True)
class Broken:
    """One expectation that a table does not meet."""

    rule: str
    reason: str  #: filled with a row's values by `str.format_map`; empty for rules on whole tables
    rows: tuple[int, ...]  #: index labels of the rows that break it; empty if it is about the table
    told: str  #: the expectation in Great Expectations' words
    severity: Severity = Severity.QUARANTINE


@dataclass(frozen=True)
class Examined:
    """A table's verdict, and the figures that Data Docs are made of."""

    broken: list[Broken]  #: in the suite's order
    verdict: Any  #: Great Expectations' own, of all expectations


def judge(table: pd.DataFrame, suite: "ExpectationSuite") -> list[Broken]:
    """What in `table` breaks `suite`, in the suite's order; the index of `table` must be unique.

    Raises
    ------
    RuntimeError : if an expectation could not be judged at all.
    """
    return examine(table, suite).broken


def examine(table: pd.DataFrame, suite: "ExpectationSuite") -> Examined:
    """As `judge`, with the verdict of every expectation.

    Rows that plainly meet an expectation are not shown to Great Expectations. All expectations are counted first; only
    for those that are broken the rows are asked for, which costs several times as much.
    """
    first = {"result_format": "BASIC", "partial_unexpected_count": 5}
    then = {"result_format": "COMPLETE", "include_unexpected_rows": False}
    results: dict[str, Any] = {}
    broken: dict[str, Broken] = {}
    verdict: Any = None
    for rows, expectations in _in_doubt(table, list(suite.expectations)):
        verdict = _asked(rows, suite.name, expectations, first)
        results |= {_key(result.expectation_config): result for result in verdict.results}
        failed = [one for one in expectations if not results[_key(one.configuration)].success]
        if failed:
            found = _asked(rows, suite.name, failed, then).results
            broken |= {_key(result.expectation_config): _broken(result) for result in found}
    keys = [_key(one.configuration) for one in suite.expectations]
    verdict.results = [_of_all(results[key], table) for key in keys]
    verdict.success = not broken
    return Examined([broken[key] for key in keys if key in broken], verdict)


def _in_doubt(table: pd.DataFrame, expectations: list[Any]) -> Iterator[tuple[pd.DataFrame, list[Any]]]:
    """The rows to be judged with the expectations they are judged by.

    All together see the rows that any of them doubts; one that doubts many sees its own columns alone.
    """
    doubts = [in_doubt(table, one.configuration) for one in expectations]
    many = [doubt.sum() > MANY * len(table) and len(table) > FEW_ROWS for doubt in doubts]
    few = [doubt for doubt, lonely in zip(doubts, many, strict=True) if not lonely]
    together = np.logical_or.reduce(few, axis=0) if few else np.zeros(len(table), dtype=bool)
    yield table[together], [one for one, lonely in zip(expectations, many, strict=True) if not lonely]
    for one, doubt, lonely in zip(expectations, doubts, many, strict=True):
        if lonely:
            yield table.loc[doubt, columns_of(one.configuration.kwargs)], [one]


def quiet_great_expectations() -> None:
    """No usage reports, no progress bars, no log lines; call before anything of it is imported."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)


def _asked(table: pd.DataFrame, name: str, expectations: list[Any], options: dict[str, Any]) -> Any:
    from great_expectations import ExpectationSuite

    batch = _whole_table().get_batch(batch_parameters={"dataframe": table})
    suite = ExpectationSuite(name=name, expectations=[one.copy() for one in expectations])
    return batch.validate(suite, result_format=options)


def _of_all(result: Any, table: pd.DataFrame) -> Any:
    """The result with its counts and shares of all rows, not only of those in doubt."""
    found, rows = result.result, len(table)
    if "element_count" in found:
        missing = _missing(table, result.expectation_config.kwargs)
        told = rows - missing
        unexpected = found.get("unexpected_count") or 0
        found |= {"element_count": rows, "missing_count": missing}
        shares = {"unexpected_percent": (unexpected, told), "unexpected_percent_total": (unexpected, rows),
                  "unexpected_percent_nonmissing": (unexpected, told), "missing_percent": (missing, rows)}  # fmt: skip
        found |= {name: 100.0 * part / of if of else None for name, (part, of) in shares.items() if name in found}
    return result


def _missing(table: pd.DataFrame, kwargs: Any) -> int:
    """Rows that the expectation leaves out for a missing value."""
    if "column" in kwargs:
        return int(table[kwargs["column"]].isna().sum())
    if kwargs.get("ignore_row_if") == "either_value_is_missing":
        return int(table[[kwargs["column_A"], kwargs["column_B"]]].isna().any(axis=1).sum())
    return int(table[columns_of(kwargs)].isna().all(axis=1).sum())


@cache
def _whole_table() -> Any:
    quiet_great_expectations()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return (
        context.data_sources.add_pandas("tables")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("all")
    )


def _key(config: Any) -> str:
    kwargs = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    return f"{config.type} {sorted(kwargs.items(), key=str)}"


def _broken(result: Any) -> Broken:
    config = result.expectation_config
    if (result.exception_info or {}).get("raised_exception"):
        raise RuntimeError(f"{config.type} could not be judged: {result.exception_info['exception_message']}")
    meta = config.meta or {}
    rows = tuple(result.result.get("unexpected_index_list") or ())
    subject = config.kwargs.get("column") or config.kwargs.get("column_A") or ""
    return Broken(
        rule=meta.get("rule", config.type),
        reason=meta.get("reason", ""),
        rows=rows,
        told=f"{config.type} {subject}".strip(),
        severity=Severity(meta.get("severity", Severity.QUARANTINE)),
    )
