"""News and closed trades judged: dated, known in time, of an instrument of the run, told once, adding up."""

from collections.abc import Mapping, Set

import numpy as np
import pandas as pd

from pipelines.domain.data_rules import Severity
from pipelines.domain.news import NEWS_COLUMNS
from pipelines.validate.release import Released
from pipelines.validate.sieve import Kept, Sifted, nothing_sifted, sift

NEWS = Kept("news", "time", NEWS_COLUMNS)


def sift_news(
    news: pd.DataFrame, symbols: Set[str], as_of: pd.Timestamp, chosen: Mapping[str, Severity], released: Released
) -> Sifted:
    """Judge NEWS_COLUMNS.

    Parameters
    ----------
    symbols : the run's instruments; news without a symbol is about the market
    as_of : the moment the run looks from
    """
    from expectations import news as suites

    if not len(news):
        return nothing_sifted(news)
    facts = news.reset_index(drop=True)
    facts = facts.assign(
        known=_known(facts["time"], as_of),
        of_instrument=facts["symbol"].isin({*symbols, ""}).to_numpy(),
        copies_before=facts.groupby(["symbol", "time", "headline"], dropna=False).cumcount(),
    )
    return sift(facts, suites.suite(chosen), NEWS, released, own=list(news))


def sift_outcomes(
    outcomes: pd.DataFrame, symbols: Set[str], as_of: pd.Timestamp, chosen: Mapping[str, Severity], released: Released
) -> Sifted:
    """Judge closed trades (columns of `outcomes.parquet`); parameters as for `sift_news`."""
    from expectations import outcomes as suites

    if not len(outcomes):
        return nothing_sifted(outcomes)
    facts = outcomes.reset_index(drop=True)
    identity = ["account", "decision_id", "symbol", "entered_at", "exited_at", "quantity"]
    facts = facts.assign(
        known=_known(facts["exited_at"], as_of),
        of_instrument=facts["symbol"].isin(set(symbols)).to_numpy(),
        in_time=(~(facts["exited_at"] < facts["entered_at"])).to_numpy(),
        money_gap=(facts["gross_inr"] - facts["charges_inr"] - facts["net_inr"]).abs(),
        copies_before=facts.groupby(identity, dropna=False).cumcount(),
    )
    kept = Kept("outcomes", "exited_at", tuple(outcomes.columns))
    return sift(facts, suites.suite(chosen), kept, released, own=list(outcomes))


def _known(times: pd.Series, as_of: pd.Timestamp) -> np.ndarray:
    return (~(times > as_of)).to_numpy()
