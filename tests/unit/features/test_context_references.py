"""Context features against their definitions, written anew in pandas."""

from datetime import date, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import IST, Interval
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.signals import Side
from pipelines.features.catalogue import CATALOGUE, FEATURE_NAMES
from pipelines.features.dates import FEATURES as DATES
from pipelines.features.dates import calendar_rows
from pipelines.features.events import AT as EVENT_AT
from pipelines.features.events import EVENTS, announced, write_events
from pipelines.features.inputs import microseconds
from pipelines.features.outcomes import HALF_LIFE_DAYS, ended_from
from tests.unit.features.known import SECTORS, Known
from tests.unit.features.test_references import CONTEXT

BAR_HOURS = 1 / 12


@cache
def built():
    known = Known(seed=21, bars=420, missing=0.0)
    known.bars["INDIA VIX"] = known.bars["INDIA VIX"].reset_index(drop=True)
    return known, *known.build()


KNOWN, MARKET, TABLES = built()
SYMBOL = "SBIN"
TABLE = TABLES[SYMBOL]


def wide(column: str) -> pd.DataFrame:
    return pd.DataFrame({symbol: frame[column] for symbol, frame in KNOWN.stocks.items()})


def level(name: str) -> pd.Series:
    frame = KNOWN.bars[name]
    closes = frame.set_index("close_time")["close"]
    return closes.reindex(TABLE["close_time"], method="ffill").reset_index(drop=True)


@cache
def market_figures() -> dict[str, pd.Series]:
    close, high, low = wide("close"), wide("high"), wide("low")
    returns = np.log(close).diff()
    mean = returns.mean(axis=1)
    nifty, bank, vix = (level(name) for name in ("NIFTY 50", "NIFTY BANK", "INDIA VIX"))
    n1, b1 = np.log(nifty).diff(), np.log(bank).diff()
    dispersion = returns.std(axis=1)
    higher = (high > high.shift().rolling(55).max()).mean(axis=1)
    lower = (low < low.shift().rolling(55).min()).mean(axis=1)
    variances = returns.rolling(48).var().sum(axis=1)
    ranks = vix.rolling(73).apply(
        lambda values: np.mean(values[:-1] < values[-1]) + np.mean(values[:-1] == values[-1]) / 2, raw=True
    )
    return {
        "above_mean_20": (close > close.rolling(20).mean()).mean(axis=1),
        "above_mean_50": (close > close.rolling(50).mean()).mean(axis=1),
        "new_highs_lows_55": higher - lower,
        "dispersion_1": dispersion,
        "dispersion_24": dispersion.rolling(24).mean(),
        "dispersion_ratio": dispersion / dispersion.rolling(24).mean(),
        "mean_correlation_48": (36 * mean.rolling(48).var() / variances - 1) / 5,
        "nifty_return_1": n1,
        "nifty_return_12": np.log(nifty).diff(12),
        "nifty_return_48": np.log(nifty).diff(48),
        "nifty_trend_72": n1.rolling(72).sum() / n1.rolling(72).std() / np.sqrt(72),
        "nifty_volatility_24": n1.rolling(24).std(),
        "nifty_volatility_ratio_12_48": n1.rolling(12).std() / n1.rolling(48).std(),
        "nifty_mean_distance_50": np.log(nifty / nifty.rolling(50).mean()),
        "bank_return_12": np.log(bank).diff(12),
        "bank_return_48": np.log(bank).diff(48),
        "bank_trend_72": b1.rolling(72).sum() / b1.rolling(72).std() / np.sqrt(72),
        "bank_volatility_24": b1.rolling(24).std(),
        "bank_over_nifty_48": np.log(bank).diff(48) - np.log(nifty).diff(48),
        "vix_level": vix / 100,
        "vix_change_1": np.log(vix).diff(),
        "vix_change_12": np.log(vix).diff(12),
        "vix_mean_distance_72": np.log(vix / vix.rolling(72).mean()),
        "vix_rank_72": ranks,
        "vix_over_realised_24": vix / 100 / (n1.rolling(24).std() * np.sqrt(75 * 248)),
    }


@cache
def peer_figures() -> dict[str, pd.Series]:
    close = wide("close")
    returns = np.log(close).diff()
    own, nifty = returns[SYMBOL], np.log(level("NIFTY 50")).diff()
    others = returns[[s for s in returns if s != SYMBOL and SECTORS.get(s) == SECTORS[SYMBOL]]].mean(axis=1)
    market = returns.mean(axis=1)
    volatility = own.rolling(24).std()
    beta = own.rolling(48).cov(market) / market.rolling(48).var()
    left = own.rolling(48).var() - beta**2 * market.rolling(48).var()
    falling = market.where(market < 0)

    def ahead(of: pd.Series, bars: int) -> pd.Series:
        return (own.rolling(bars).sum() - of.rolling(bars).sum()) / volatility / np.sqrt(bars)

    return {
        "nifty_beta_48": own.rolling(48).cov(nifty) / nifty.rolling(48).var(),
        "nifty_correlation_48": own.rolling(48).corr(nifty),
        "nifty_strength_12": ahead(nifty, 12),
        "nifty_strength_48": ahead(nifty, 48),
        "sector_return_12": others.rolling(12).sum(),
        "sector_beta_48": own.rolling(48).cov(others) / others.rolling(48).var(),
        "sector_strength_12": ahead(others, 12),
        "sector_strength_48": ahead(others, 48),
        "own_volatility_48": np.sqrt(left * 47 / 46),
        "own_share_48": left / own.rolling(48).var(),
        "downside_beta_48": (own * falling).rolling(48, min_periods=8).sum()
        / (falling**2).rolling(48, min_periods=8).sum(),
    }


@cache
def compared_figures() -> dict[str, pd.Series]:
    close, high, low, volume = (wide(name) for name in ("close", "high", "low", "volume"))
    opened, day = wide("open"), TABLE["close_time"].dt.date
    session_open = opened.groupby(day.to_numpy()).transform("first")
    gap = np.log(session_open / close.shift().groupby(day.to_numpy()).transform("first"))
    gap.loc[day == day.iloc[0]] = 0.0
    returns = np.log(close).diff()
    figures = {
        "return_1": returns,
        "return_6": np.log(close).diff(6),
        "return_24": np.log(close).diff(24),
        "return_72": np.log(close).diff(72),
        "volatility_24": returns.rolling(24).std(),
        "relative_volume_20": volume / volume.shift().rolling(20).mean(),
        "turnover_20": (volume * close).rolling(20).mean(),
        "range_20": ((high - low) / close).rolling(20).mean(),
        "mean_distance_20": np.log(close / close.rolling(20).mean()),
        "high_distance_55": np.log(close / high.rolling(55).max()),
        "low_distance_55": np.log(close / low.rolling(55).min()),
        "session_return": np.log(close / session_open),
        "gap": gap.where(returns.notna()),
    }
    ranks = {f"rank_{name}": ((figure.round(13).rank(axis=1) - 1) / 5)[SYMBOL] for name, figure in figures.items()}
    scores = {
        f"z_{name}": ((figures[name].sub(figures[name].mean(axis=1), axis=0)).div(figures[name].std(axis=1), axis=0))[
            SYMBOL
        ]
        for name in ("return_6", "return_24", "return_72", "volatility_24", "relative_volume_20")
    }
    return ranks | scores


@cache
def sentiment_figures() -> dict[str, pd.Series]:
    closes = TABLE["close_time"]
    own, all_items = said_at(closes, KNOWN.news[KNOWN.news["symbol"] == SYMBOL]), said_at(closes, KNOWN.news)
    items, market = faded(own, 96), {life: faded(all_items, life) for life in (24, 96)}
    mean = {life: (faded(own, life)["sum"] / faded(own, life)["count"]) for life in (6, 24, 96)}
    heard = own["size"].cumsum() > 0
    last = pd.Series(own["last"]).ffill()
    squares = items["squares"] / items["count"] - mean[96] ** 2
    surprise, fresh = pd.Series(np.nan, index=range(len(closes))), np.nan
    for i in range(len(closes)):
        fresh *= 0.5 ** (1 / 24)
        if own["count"][i]:
            fresh = own["sum"][i] / own["count"][i] - (mean[96][i - 1] if i else np.nan)
        surprise[i] = fresh
    market_mean = {life: sums["sum"] / sums["count"] for life, sums in market.items()}
    return {
        "sentiment_6": mean[6],
        "sentiment_24": mean[24],
        "sentiment_96": mean[96],
        "sentiment_surprise": surprise,
        "sentiment_dispersion": np.sqrt(squares).where(own["count"].cumsum() > 1),
        "news_count_96": items["size"].where(heard),
        "hours_since_news": (closes.astype("int64") / 3.6e9 - last).where(heard),
        "market_sentiment_24": market_mean[24],
        "market_sentiment_shift": market_mean[24] - market_mean[96],
        "market_news_24": market[24]["size"].where(all_items["size"].cumsum() > 0),
    }


def said_at(closes: pd.Series, news: pd.DataFrame) -> pd.DataFrame:
    at = closes.searchsorted(news["time"])
    known = news[at < len(closes)].assign(at=at[at < len(closes)])
    known["squares"], known["hour"] = known["sentiment"] ** 2, known["time"].astype("int64") / 3.6e9
    grouped = known.groupby("at").agg(
        sum=("sentiment", "sum"), count=("sentiment", "count"), squares=("squares", "sum"), size=("symbol", "size"),
        last=("hour", "max"),
    )  # fmt: skip
    found = grouped.reindex(range(len(closes)))
    return found.fillna({"sum": 0, "count": 0, "squares": 0, "size": 0})


def faded(said: pd.DataFrame, half_life: float) -> pd.DataFrame:
    fade, out, now = 0.5 ** (1 / half_life), [], np.zeros(4)
    for row in said[["sum", "count", "squares", "size"]].to_numpy():
        now = now * fade + row
        out.append(now)
    frame = pd.DataFrame(out, columns=["sum", "count", "squares", "size"])
    frame["count"] = frame["count"].where(frame["count"] > 1e-3)
    return frame


@cache
def outcome_figures() -> dict[str, pd.Series]:
    rows = []
    known = KNOWN.outcomes.assign(net=lambda t: t["net_inr"] / (t["entry_price"] * t["quantity"]))
    for close in TABLE["close_time"]:
        past = known[known["exited_at"] <= close].sort_values("exited_at")
        own = past[past["symbol"] == SYMBOL]
        rows.append(tally(own, past, close))
    return dict(pd.DataFrame(rows).items())


def tally(own: pd.DataFrame, past: pd.DataFrame, close: pd.Timestamp) -> dict[str, float]:
    def weights(of: pd.DataFrame) -> pd.Series:
        return 0.5 ** ((close - of["exited_at"]) / pd.Timedelta(days=HALF_LIFE_DAYS))

    def mean(of: pd.DataFrame, what: pd.Series) -> float:
        return float((weights(of) * what).sum() / weights(of).sum()) if len(of) else np.nan

    wins = (own["net"] > 0).tolist()
    streak = 0
    for win in wins:
        streak = max(streak, 0) + 1 if win else min(streak, 0) - 1
    buys, sells = own[own["side"] == "BUY"], own[own["side"] == "SELL"]
    found = {
        "outcome_count": weights(own).sum(),
        "outcome_hit_rate": mean(own, own["net"] > 0),
        "outcome_mean_net": mean(own, own["net"]),
        "outcome_last_net": own["net"].iloc[-1] if len(own) else np.nan,
        "outcome_streak": streak,
        "outcome_days_since": (close - own["exited_at"].iloc[-1]) / pd.Timedelta(days=1) if len(own) else np.nan,
        "outcome_hit_rate_buy": mean(buys, buys["net"] > 0),
        "outcome_hit_rate_sell": mean(sells, sells["net"] > 0),
        "outcome_mean_net_buy": mean(buys, buys["net"]),
        "outcome_mean_net_sell": mean(sells, sells["net"]),
        "run_outcome_count": weights(past).sum(),
        "run_hit_rate": mean(past, past["net"] > 0),
    }
    for side in ("BUY", "SELL"):
        for regime in ("bull", "bear", "range", "high_volatility"):
            of = past[(past["side"] == side) & (past["regime"] == regime)]
            found[f"pattern_mean_net_{side.lower()}_{regime}"] = mean(of, of["net"])
    return found if len(past) else dict.fromkeys(found, np.nan)


def figures() -> dict[str, pd.Series]:
    return market_figures() | peer_figures() | compared_figures() | sentiment_figures() | outcome_figures()


@pytest.mark.parametrize("name", sorted(figures()))
def test_a_feature_equals_its_definition(name):
    look_back = next(feature.look_back for feature in CATALOGUE if feature.name == name)

    theirs = figures()[name].reset_index(drop=True)

    ours = TABLE[name].where(np.arange(len(TABLE)) >= look_back)
    theirs = theirs.where(np.arange(len(TABLE)) >= look_back)
    assert theirs.notna().sum() > 30
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_all_features_of_these_families_are_held_against_a_definition():
    held = set(figures()) | {feature.name for feature in DATES} | set(EVENT_AT._fields)
    technical_calendar = {
        "minute_sine",
        "minute_cosine",
        "weekday_sine",
        "weekday_cosine",
        "month_sine",
        "month_cosine",
    }

    ours = {feature.name for feature in CATALOGUE if feature.family in CONTEXT} - technical_calendar

    assert ours == held


def at(stamp: str, interval: Interval = Interval.MIN_5) -> dict[str, float]:
    times = microseconds(pd.Series([pd.Timestamp(stamp, tz=IST)]))
    return dict(zip((feature.name for feature in DATES), calendar_rows(times, interval)[0].tolist(), strict=True))


def test_a_close_knows_its_place_in_the_session():
    first, middle, last = at("2026-07-01 09:20"), at("2026-07-01 12:20"), at("2026-07-01 15:30")

    assert (first["minutes_since_open"], first["minutes_to_close"]) == (5, 370)
    assert (first["first_bar"], first["last_bar"], middle["first_bar"], last["last_bar"]) == (1, 0, 0, 1)
    assert (first["session_share"], last["session_share"]) == (pytest.approx(5 / 375), 1)


def test_after_the_closing_auction_began_continuous_trading_ends_earlier():
    assert at("2026-08-04 15:15")["last_bar"] == 1
    assert at("2026-08-04 15:25")["minutes_to_close"] == 0


def test_a_daily_bar_is_first_and_last():
    day = at("2026-07-01 15:30", Interval.DAY)

    assert (day["first_bar"], day["last_bar"]) == (1, 1)


def test_on_a_day_without_a_session_the_clock_is_unknown_and_the_date_is_not():
    sunday = at("2026-07-05 11:00")

    assert np.isnan([sunday[name] for name in ("minutes_since_open", "session_share", "first_bar", "last_bar")]).all()
    assert sunday["weekday"] == 6


def test_a_close_knows_its_place_in_week_month_and_quarter():
    day = at("2026-09-29 10:00")  # a Tuesday, the last of its month

    assert day["weekday"] == 1
    assert (day["sessions_to_month_end"], day["sessions_to_quarter_end"]) == (1, 1)
    assert day["sessions_since_month_start"] == len(pd.bdate_range("2026-09-01", "2026-09-28")) - 1  # one holiday
    assert (day["weekly_expiry_day"], day["monthly_expiry_day"], day["days_to_monthly_expiry"]) == (1, 1, 0)
    assert at("2026-09-30 10:00")["days_since_monthly_expiry"] == 1
    assert at("2026-09-30 10:00")["days_to_weekly_expiry"] == 6
    assert (day["month_day_sine"], day["month_day_cosine"]) == (
        pytest.approx(np.sin(2 * np.pi * 28 / 30)),
        pytest.approx(np.cos(2 * np.pi * 28 / 30)),
    )


def test_a_session_beside_a_holiday_knows_it():
    before, after = at("2026-01-23 10:00"), at("2026-01-27 10:00")  # Republic Day is a Monday

    assert (before["days_to_session"], before["days_since_session"]) == (4, 1)
    assert (after["days_since_session"], after["days_to_session"]) == (4, 1)


def test_a_budget_is_no_news_before_its_day():
    assert at("2024-07-22 10:00")["days_since_budget"] == (date(2024, 7, 22) - date(2024, 2, 1)).days
    assert (at("2024-07-23 10:00")["budget_day"], at("2024-07-23 10:00")["days_since_budget"]) == (1, 0)


def test_an_ex_date_counts_from_its_announcement():
    dates = announced(
        pd.DataFrame(
            {
                "ex_date": pd.to_datetime(["2026-03-20", "2026-06-01"]).tz_localize(IST),
                "known_at": pd.to_datetime(["2026-03-10 18:00", None]).tz_localize(IST),
            }
        )
    )
    stamps = ["03-10 15:30", "03-11 10:00", "03-20 10:00", "03-27 10:00", "05-25 10:00", "06-02 10:00"]

    times = microseconds(pd.Series(pd.to_datetime([f"2026-{stamp}" for stamp in stamps]).tz_localize(IST)))
    out = np.empty((EVENTS, len(times)))

    write_events(dates, times, out)

    ahead, since = out[EVENT_AT.days_to_ex_date], out[EVENT_AT.days_since_ex_date]
    np.testing.assert_array_equal(ahead, [np.nan, 9, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(since, [np.nan, np.nan, 0, 7, np.nan, 1])


def test_a_trade_of_the_executor_is_the_outcome_of_its_row():
    from decimal import Decimal

    entered = datetime(2026, 3, 10, 10, 0, tzinfo=IST)
    outcome = Outcome(
        "SBIN", Side.SELL, 50, "d1", "v1", "h1", "bear", Decimal(100), Decimal("100.50"), Decimal(99), entered,
        entered + timedelta(minutes=30), ExitReason.TARGET, Decimal(75), {}, Decimal("70.35"), Decimal(80),
        Decimal(-5), 6,
    )  # fmt: skip

    ended = ended_from(outcome)

    assert (ended.symbol, ended.side, ended.regime) == ("SBIN", "SELL", "bear")
    assert ended.net == pytest.approx(70.35 / 5025.0)
    assert ended.known_us == microseconds(pd.Series([pd.Timestamp(outcome.exited_at)]))[0]


def test_a_run_with_too_few_stocks_has_no_ranks():
    known = Known(seed=3, bars=60, missing=0.0)
    known.stocks = {symbol: known.stocks[symbol] for symbol in ("INFY", "TCS")}
    known.bars = dict(known.stocks)

    table = known.build()[1]["TCS"]

    assert table[[name for name in FEATURE_NAMES if name.startswith(("rank_", "z_return"))]].isna().all().all()
