"""Nothing of the past moves when later bars arrive: the real stages, run on a market and on its beginning alone."""

import shutil

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.engine import run_backtest
from pipelines.evaluation.stage import rules_from
from pipelines.evaluation.trades import trades_table
from pipelines.heads import heads_from
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.policy.bundle import Bundle
from pipelines.policy.decide import judge
from pipelines.policy.fit import fit_policy
from pipelines.policy.panel import Panel, microseconds, read_panel
from pipelines.policy.stage import costs_from
from pipelines.tables import read_json, read_table, write_json, write_table
from tests.conftest import SMALL, run_stages, workspace_at

#: The longer market gets one fit of regimes more than its beginning
WORLD = SMALL | {
    "ingest.simulated.days": 26,
    "ingest.simulated.instruments": 3,
    "regimes.min_bars": 350,
    "regimes.refits": 6,
}
CUT = pd.Timestamp("2026-10-23 12:30", tz="Asia/Kolkata")  #: in the middle of a session, four sessions before the end
UP_TO_HEADS = ("validate", "features", "regimes", "heads")


class Twice:
    """The same market, wholly and up to `CUT`."""

    def __init__(self, whole: Paths, beginning: Paths, params: Params):
        self.whole, self.beginning, self.params = whole, beginning, params
        self.bundle = Bundle.load(beginning.bundle)  # of the beginning: it may know nothing else
        self.whole_panel, self.beginning_panel = read_panel(whole), read_panel(beginning)

    def tables(self, folder: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """A table of the longer run as far as it was known at `CUT`, and that of the shorter run."""
        long, short = (read_table(getattr(paths, folder) / name) for paths in (self.whole, self.beginning))
        return long[long["close_time"] <= CUT].reset_index(drop=True), short


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> Twice:
    folder = tmp_path_factory.mktemp("look_ahead")
    whole, params = workspace_at(folder / "whole", WORLD)
    beginning, _ = workspace_at(folder / "beginning", WORLD)
    run_stages(whole, params, ("ingest",))
    _plant_faults(whole)
    _plant_steps(whole)
    _plant_headlines(whole)
    _copy_raw_until_cut(whole, beginning)
    run_stages(whole, params, UP_TO_HEADS)
    run_stages(beginning, params, (*UP_TO_HEADS, "policy"))
    return Twice(whole, beginning, params)


def _plant_faults(paths: Paths) -> None:
    """Wild bars for validation to judge: long before, right at and after the cut."""
    for path in sorted(paths.raw_bars.glob("*.parquet"))[:2]:
        bars = read_table(path)
        at = int(np.flatnonzero(bars["close_time"] == CUT)[0])
        bars.loc[[500, at, at + 1, at + 200], "high"] *= 2.0
        write_table(bars, path)


def _plant_steps(paths: Paths) -> None:
    """Nights that look like a split nobody knows: of one stock two sessions before the cut's, of another after it."""
    for path, days in zip(sorted(paths.raw_bars.glob("*.parquet"))[1:], (-2, 2), strict=True):
        bars = read_table(path)
        sessions = bars["open_time"].dt.normalize().unique()
        first = sessions[list(sessions).index(CUT.normalize()) + days]
        bars.loc[bars["open_time"] >= first, ["open", "high", "low", "close"]] *= 0.5
        write_table(bars, path)


def _plant_headlines(paths: Paths) -> None:
    """Of every stock one just in time for the cut's bar and one just too late."""
    news = read_table(paths.raw_news)
    times = pd.Series([CUT, CUT + pd.Timedelta(seconds=1)], dtype=news["time"].dtype)
    planted = [
        pd.DataFrame({"symbol": symbol, "time": times, "headline": f"{symbol} surprises", "sentiment": [0.5, -1.0]})
        for symbol in sorted(news["symbol"].unique())
    ]
    write_table(pd.concat([news, *planted]).sort_values("time", kind="stable"), paths.raw_news)


def _copy_raw_until_cut(whole: Paths, beginning: Paths) -> None:
    for path in whole.raw_bars.glob("*.parquet"):
        bars = read_table(path)
        write_table(bars[bars["close_time"] <= CUT], beginning.raw_bars / path.name)
    news = read_table(whole.raw_news)
    write_table(news[news["time"] <= CUT], beginning.raw_news)
    actions = read_table(whole.raw_actions)
    write_table(actions[actions["known_at"] <= CUT], beginning.raw_actions)
    for path in (whole.raw_outcomes, whole.disagreements):  # empty in this market
        shutil.copy(path, beginning.raw / path.name)
    shutil.copy(whole.raw_instruments, beginning.raw_instruments)
    write_json(read_json(whole.snapshot) | {"as_of": CUT.isoformat()}, beginning.snapshot)


def _symbols(paths: Paths) -> list[str]:
    return sorted(path.name for path in paths.validated_bars.glob("*.parquet"))


def test_the_cut_takes_bars_headlines_and_a_fit_of_regimes_away(twice):
    long, short = twice.whole, twice.beginning
    news = [len(read_table(paths.news)) for paths in (long, short)]
    fits = [len(read_json(paths.regime_model)["fits"]) for paths in (long, short)]

    assert len(_symbols(long)) == 3
    assert len(twice.whole_panel.table) > len(twice.beginning_panel.table) + 3 * 200
    assert news[0] > news[1] > 0
    assert fits[0] > fits[1] > 0


@pytest.mark.parametrize("folder", ["validated_bars", "features", "views"])
def test_bars_features_and_views_of_the_past_stay(twice, folder):
    names = sorted(path.name for path in getattr(twice.whole, folder).glob("*.parquet"))

    compared = {name: twice.tables(folder, name) for name in names}

    assert len(compared) >= 3
    for long, short in compared.values():
        assert short["close_time"].max() <= CUT
        pd.testing.assert_frame_equal(long, short, check_exact=True)


def test_what_was_set_aside_until_the_cut_stays_set_aside(twice):
    long, short = (read_table(paths.quarantine) for paths in (twice.whole, twice.beginning))

    assert set(short["rule"]) == {"price_outlier", "unexplained_gap"}
    assert set(short.loc[short["rule"] == "price_outlier", "source_row"]) >= {501}
    assert [len(one.loc[one["rule"] == "unexplained_gap", "symbol"].unique()) for one in (short, long)] == [1, 2]
    known = long.merge(short[["symbol", "source_row"]], on=["symbol", "source_row"])
    assert len(long) > len(short)
    pd.testing.assert_frame_equal(known, short)


def test_regimes_of_the_past_stay(twice):
    long, short = (read_table(paths.regimes) for paths in (twice.whole, twice.beginning))

    pd.testing.assert_frame_equal(long[long["close_time"] <= CUT], short, check_exact=True)
    assert short["bull"].notna().sum() > 500


def test_the_panel_cut_in_time_is_the_panel_of_the_beginning(twice):
    pd.testing.assert_frame_equal(_until_cut(twice.whole_panel).table, twice.beginning_panel.table, check_exact=True)


def test_decisions_of_the_past_stay(twice):
    long = judge(twice.bundle, twice.whole_panel.table)
    short = judge(twice.bundle, twice.beginning_panel.table)

    known = long[(twice.whole_panel.table["close_time"] <= CUT).to_numpy()].reset_index(drop=True)
    pd.testing.assert_frame_equal(known, short, check_exact=True)
    assert (short["action"] != "skip").sum() > 50


def test_a_policy_fitted_on_the_past_of_the_longer_market_is_that_of_the_beginning(twice):
    params = twice.params

    again = fit_policy(
        _until_cut(twice.whole_panel),
        heads_from(params.heads),
        params.policy,
        costs_from(params),
        read_json(twice.beginning.regime_model),
    )

    assert again.bundle.version == twice.bundle.version
    assert again.importance["selected"].any()
    pd.testing.assert_frame_equal(again.importance, read_table(twice.beginning.importance), check_exact=True)


def test_trades_closed_and_equity_marked_before_the_last_day_stay(twice):
    (long_trades, long_equity), (short_trades, short_equity) = (
        _traded(twice, panel) for panel in (twice.whole_panel, twice.beginning_panel)
    )

    assert (short_trades["exited_at"] < CUT.normalize()).sum() > 50
    pd.testing.assert_frame_equal(*_before_last_day("exited_at", long_trades, short_trades), check_exact=True)
    pd.testing.assert_frame_equal(*_before_last_day("day", long_equity, short_equity), check_exact=True)


def _traded(twice: Twice, panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trades and equity of all that the policy decides on a panel."""
    decisions = judge(twice.bundle, panel.table).assign(policy_version=twice.bundle.version)
    result = run_backtest(panel, decisions, rules_from(twice.params, panel), int(panel.times[0]), int(panel.times[-1]))
    equity = result.equity.assign(day=pd.to_datetime(result.equity["day"]).dt.tz_localize(CUT.tz))
    return trades_table(result.trades), equity


def _before_last_day(column: str, *tables: pd.DataFrame) -> list[pd.DataFrame]:
    return [table[table[column] < CUT.normalize()].reset_index(drop=True) for table in tables]


def _until_cut(panel: Panel) -> Panel:
    return panel.closed_by(int(microseconds(pd.Series([CUT]))[0]))
