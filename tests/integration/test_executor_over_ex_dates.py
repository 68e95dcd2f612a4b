"""The daemon as a process of its own through played days on which shares are split: what it sees, what it holds."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.features.batch import build_features
from pipelines.paths import Paths
from pipelines.tables import read_json, read_table
from pipelines.validate.bars import with_adjustment
from serving.wire import row_from_wire
from tests.integration.test_executor import MARKET, EagerPolicy, exchange_at, executor_at, market_at

SPLIT_TODAY = MARKET | {"ingest.simulated.days": 16, "ingest.simulated.actions": 1, "regimes.min_bars": 200}
DAILY = MARKET | {
    "ingest.interval": "day",
    "ingest.simulated.days": 75,
    "ingest.simulated.instruments": 9,
    "ingest.simulated.actions": 9,
    "regimes.min_bars": 50,
    "exchange.ticks_per_bar": 40,
    "executor.square_off_minutes": 120,  # a daily bar's ticks are far apart: an exit needs some of them
}


class Patient(EagerPolicy):
    """Takes every row, and leaves only what has moved far."""

    def _take(self, row, equity):
        grid, close = row.tick_size, Decimal(row.close)
        stop, target = (round(close * share / grid) * grid for share in (Decimal("0.93"), Decimal("1.08")))
        return super()._take(row, equity) | {"stop": str(stop), "target": str(target), "hold_bars": 1000}


def whole_bars(paths: Paths) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """History and played days as validate adjusts them, and what it knows of actions."""
    parts = [read_table(path) for path in sorted(paths.validated_bars.glob("*.parquet"))]
    parts += [read_table(path) for path in sorted(paths.session_bars.glob("*.parquet"))]
    actions = read_table(paths.raw_actions)
    bars, _ = with_adjustment(pd.concat([part[list(BAR_COLUMNS)] for part in parts], ignore_index=True), actions)
    ordered = bars.sort_values("open_time", kind="stable")
    return {symbol: own.reset_index(drop=True) for symbol, own in ordered.groupby("symbol")}, actions


def played(market, policy: EagerPolicy) -> dict:
    """What the daemon's summary tells of the played days."""
    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            assert executor.wait(150) == 0, executor.tail(30)
    return read_json(market[0].reports / "session.json")


def test_on_the_day_of_a_split_live_rows_are_those_that_the_batch_builds_of_the_same_bars(tmp_path, own_postgres):
    market = market_at(tmp_path, SPLIT_TODAY)
    paths, policy = market[0], EagerPolicy(market[0])
    policy.decide = lambda content: (  # looks and does nothing
        policy.rows_seen.extend(row_from_wire(row) for row in content["rows"])
        or {"decisions": [], "policy_version": "eager", "latency_ms": 0.1}
    )

    played(market, policy)

    bars, actions = whole_bars(paths)
    news = pd.concat([read_table(paths.news), read_table(paths.session_news)], ignore_index=True)
    tables = dict(build_features(bars, news, read_table(paths.instruments), Interval.MIN_15, actions).rows)
    [split] = [symbol for symbol, own in bars.items() if own["adjustment"].iloc[-1] != 1.0]
    first = min(row.close_time for row in policy.rows_seen)
    assert (bars[split].loc[bars[split]["close_time"] < first, "adjustment"] == 1.0).all()
    assert sum(row.symbol == split for row in policy.rows_seen) >= 20
    for row in policy.rows_seen:
        recorded = tables[row.symbol].set_index("close_time").drop(columns="symbol").loc[row.close_time]
        live = [row.values[name] for name in recorded.index]
        np.testing.assert_allclose(live, recorded.to_numpy(float), rtol=1e-9, atol=1e-12, equal_nan=True)


def test_delivery_is_out_before_every_split_of_the_played_days_and_ends_with_equal_books(tmp_path, own_postgres):
    market = market_at(tmp_path, DAILY)

    told = played(market, Patient(market[0], "day", "CNC"))

    ex_dates = {row.symbol: row.ex_date.date() for row in announced(market[0]).itertuples()}
    first = min(datetime.fromisoformat(trade["entered_at"]).date() for trade in told["trades"])
    assert sum(day > first for day in ex_dates.values()) >= 2
    assert {trade["symbol"] for trade in told["trades"] if trade["exit_reason"] == "ex_date"} <= set(ex_dates)
    assert told["exits"].get("ex_date", 0) >= 1
    held_over = [trade for trade in told["trades"] if covers(trade, ex_dates.get(trade["symbol"], date.max))]
    assert held_over == []
    assert "ex-date" in {refused["rule"] for refused in told["refused"]}
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    assert told["alarms"] == []


def announced(paths: Paths) -> pd.DataFrame:
    """To the run, and in its played days."""
    return pd.concat([read_table(paths.raw_actions), read_table(paths.session_actions)], ignore_index=True)


def covers(trade: dict, ex_date: date) -> bool:
    entered, left = (datetime.fromisoformat(trade[name]).date() for name in ("entered_at", "exited_at"))
    return entered < ex_date <= left
