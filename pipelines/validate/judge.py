"""A table against its suite: Great Expectations judges, we read its verdict."""

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite


@dataclass(frozen=True)
class Broken:
    """One expectation that a table does not meet."""

    rule: str
    reason: str  #: filled with a row's values by `str.format_map`; empty for rules on whole tables
    rows: tuple[int, ...]  #: index labels of the rows that break it; empty if it is about the table
    told: str  #: the expectation in Great Expectations' words


def judge(table: pd.DataFrame, suite: "ExpectationSuite") -> list[Broken]:
    """What in `table` breaks `suite`, in the suite's order; the index of `table` must be unique.

    Raises
    ------
    RuntimeError : if an expectation could not be judged at all.
    """
    batch = _bars_batch().get_batch(batch_parameters={"dataframe": table})
    options = {"result_format": "COMPLETE", "include_unexpected_rows": False}
    verdict = batch.validate(suite, result_format=options)
    by_expectation = {_key(result.expectation_config): result for result in verdict.results}
    ordered = [by_expectation[_key(expectation.configuration)] for expectation in suite.expectations]
    return [_broken(result) for result in ordered if not result.success]


def quiet_great_expectations() -> None:
    """No usage reports, no progress bars, no log lines; call before anything of it is imported."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)


@cache
def _bars_batch() -> Any:
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
    return Broken(meta.get("rule", config.type), meta.get("reason", ""), rows, f"{config.type} {subject}".strip())
