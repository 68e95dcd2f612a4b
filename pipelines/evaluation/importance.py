"""Importance of features over the fits of a run, and what of it speaks for dropping some; a person decides."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE

#: A row a fit and feature: the walk-forward's fits by number of the test window, then that of the whole history
COLUMNS = {
    "fit": "int64",
    "trained_until": TIME_DTYPE,
    "feature": "object",
    "family": "object",
    "mutual_information": "float64",
    "gain": "float64",
    "permutation": "float64",
    "score": "float64",
    "noise": "float64",
    "stability": "float64",
    "representative": "object",
    "correlation": "float64",
    "selected": "bool",
}


def importance_over_time(
    fits: Sequence[tuple[pd.Timestamp, pd.DataFrame | None]], catalogue: Mapping[str, Any]
) -> pd.DataFrame:
    """The importance tables of several fits as one, in `COLUMNS`.

    Parameters
    ----------
    fits : when each was trained until, and what `fit_policy` says of its features; a fit without selection adds nothing
    catalogue : as in `catalogue.json`, for the families; what is not in it is of the family `regime`
    """
    family = {feature["name"]: feature["family"] for feature in catalogue["features"]}
    parts = [
        table.assign(fit=number, trained_until=until, family=table["feature"].map(family).fillna("regime"))
        for number, (until, table) in enumerate(fits)
        if table is not None
    ]
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)].astype(COLUMNS)


def by_feature(importance: pd.DataFrame) -> pd.DataFrame:
    """Each feature over the fits, the best first: `fits`, `selected` (in how many), means of the measures and `lead`.

    `lead` is the mean score above the noise, in shares of the ranks; below 0 it ranks among what knows nothing. `known`
    is False if no measure ever moved: the feature was never known, or never changed.
    """
    measures = ["mutual_information", "gain", "permutation"]
    said = importance.assign(
        lead=importance["score"] - importance["noise"], known=(importance[measures] != 0).any(axis=1)
    )
    grouped = said.groupby("feature", sort=False)
    counts = {"family": ("family", "first"), "fits": ("fit", "nunique"), "selected": ("selected", "sum")}
    found = grouped.agg(**counts, known=("known", "any")).join(grouped[["lead", "stability", *measures]].mean())
    return found.reset_index().sort_values(
        ["selected", "lead", "feature"], ascending=[False, False, True], ignore_index=True
    )


def proposals(
    importance: pd.DataFrame, used: Mapping[str, Sequence[str]], min_stability: float
) -> list[dict[str, Any]]:
    """Features that no fit selected because they rank among noise or say what another says, with the evidence.

    A feature that was only crowded out is not proposed, nor one that was never known in this run: its source is absent.

    Parameters
    ----------
    importance : as of `importance_over_time`
    used : names of the features that each head asks for: these stay in the catalogue, whatever the trade model is given
    min_stability : as the selection had it

    Returns
    -------
    list of `feature`, `family`, `fits`, `among_noise` and `redundant` (in how many of the fits), `same_as` (feature
    that stood for it most often, None without), `correlation` (least over those fits), `stability`, `lead`,
    `permutation`, `used_by`, `evidence` (a sentence); the weakest first
    """
    table = importance.assign(
        redundant=(importance["representative"] != importance["feature"]),
        among_noise=importance["stability"] < min_stability,
    )
    found = []
    for row in by_feature(importance).iloc[::-1].to_dict("records"):
        own = table[table["feature"] == row["feature"]]
        if row["selected"] or not row["known"] or not (own["redundant"] | own["among_noise"]).all():
            continue
        noisy, same = int(own["among_noise"].sum()), own[own["redundant"] & ~own["among_noise"]]
        counted = same["representative"].value_counts()
        said = {
            "feature": row["feature"],
            "family": row["family"],
            "fits": int(row["fits"]),
            "among_noise": noisy,
            "redundant": len(same),
            "same_as": str(sorted(counted[counted == counted.max()].index)[0]) if len(same) else None,
            "correlation": round(float(same["correlation"].min()), 3) if len(same) else None,
            "stability": round(float(row["stability"]), 3),
            "lead": round(float(row["lead"]), 4),
            "permutation": round(float(row["permutation"]), 6),
            "used_by": sorted(head for head, names in used.items() if row["feature"] in names),
        }
        found.append(said | {"evidence": _sentence(said)})
    return found


def selection_summary(importance: pd.DataFrame, proposed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `reports/selection.json` holds: counts a fit, what every fit selected, proposals."""
    counts = importance.groupby("fit")["selected"].sum()
    table = by_feature(importance)
    always = table["feature"][(table["selected"] == table["fits"])].tolist()
    return {
        "fits": len(counts),
        "candidates": int(importance["feature"].nunique()),
        "selected": [int(count) for count in counts],
        "selected_always": always,
        "never_known": sorted(table["feature"][~table["known"].astype(bool)]),
        "proposed_for_dropping": list(proposed),
    }


def _sentence(said: Mapping[str, Any]) -> str:
    grounds = []
    if said["among_noise"]:
        grounds.append(f"among noise in {said['among_noise']} of {said['fits']} fits")
    if said["redundant"]:
        grounds.append(
            f"the same as {said['same_as']} in {said['redundant']} (rank correlation {said['correlation']:.2f} or more)"
        )
    grounds.append(f"above the noise in {said['stability']:.0%} of all folds")
    grounds.append(f"shuffling it costs {100 * said['permutation']:+.3f} % of the variance")
    if said["used_by"]:
        grounds.append(f"used by the head {', '.join(said['used_by'])}: it stays in the catalogue")
    return "; ".join(grounds)


def heat(importance: pd.DataFrame, most: int) -> tuple[np.ndarray, np.ndarray, list[str], list[pd.Timestamp]]:
    """What the report's picture shows: lead and choice of the best features, each (n_features, n_fits), and names."""
    names = by_feature(importance)["feature"].head(most).tolist()
    table = importance.assign(lead=importance["score"] - importance["noise"])
    lead, chosen = (table.pivot(index="feature", columns="fit", values=v).loc[names] for v in ("lead", "selected"))
    until = table.groupby("fit")["trained_until"].first().tolist()
    return lead.to_numpy(np.float64), chosen.to_numpy(bool), names, until
