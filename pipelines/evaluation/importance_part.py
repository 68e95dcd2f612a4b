"""The part of the report on features: what the fits selected over time, and what is proposed for dropping."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from pipelines.evaluation import charts
from pipelines.evaluation.importance import by_feature, heat

SHOWN_FEATURES = 30
SHOWN_LINES = 6
SHOWN_PROPOSALS = 15


def heat_map(importance: pd.DataFrame) -> str:
    """HTML of the heat map: features by fits."""
    lead, chosen, names, until = heat(importance, SHOWN_FEATURES)
    return charts.as_html(charts.importance_heat_map(lead, chosen, names, until), "importance")


def lines(importance: pd.DataFrame) -> str:
    """HTML of the lines: what shuffling the best features costs on held-out rows, over the fits."""
    best = by_feature(importance).nlargest(SHOWN_LINES, "permutation", keep="first")["feature"]
    cost = importance.pivot(index="trained_until", columns="feature", values="permutation")[list(best)]
    return charts.as_html(charts.permutation_chart(100 * cost), "permutation")


def note(summary: Mapping[str, Any]) -> str:
    counts = ", ".join(str(count) for count in summary["selected"])
    return (
        f"Of {summary['candidates']} features, flags and regimes the fits selected {counts}, in the order of time, "
        "the last for the policy that goes on. Blue ranks above the noise, red among it; dots are selected. Training "
        "rows only."
    )


def proposals_table(proposed: Sequence[Mapping[str, Any]]) -> str:
    """HTML of the weakest features with the evidence."""
    head = (
        "<tr><th>feature</th><th>family</th><th class='n'>fits among noise</th><th>same as</th>"
        "<th class='n'>above noise</th><th class='n'>shuffling costs</th><th>used by head</th></tr>"
    )
    return f"<table>{head}{''.join(_row(row) for row in proposed[:SHOWN_PROPOSALS])}</table>"


def proposals_note(summary: Mapping[str, Any]) -> str:
    proposed = summary["proposed_for_dropping"]
    count, same = len(proposed), sum(row["same_as"] is not None for row in proposed)
    rest = f", {SHOWN_PROPOSALS} of them here" if count > SHOWN_PROPOSALS else ""
    return (
        f"{count} features that none of {summary['fits']} fits selected, {same} of them since another said the same; "
        f"the weakest first{rest}. {len(summary['never_known'])} more were never known in this run and are not judged. "
        "A person decides: names go under policy.selection.never. Who drops by this table has looked at results: raise "
        "evaluation.prior_trials."
    )


def _row(row: Mapping[str, Any]) -> str:
    same = f"{escape(row['same_as'])}, {row['correlation']:.2f}" if row["same_as"] else "–"
    return (
        f"<tr><td>{escape(row['feature'])}</td><td>{escape(row['family'])}</td>"
        f"<td class='n'>{row['among_noise']} of {row['fits']}</td><td>{same}</td>"
        f"<td class='n'>{row['stability']:.0%} of folds</td><td class='n'>{100 * row['permutation']:+.3f} %</td>"
        f"<td>{escape(', '.join(row['used_by'])) or '–'}</td></tr>"
    )
