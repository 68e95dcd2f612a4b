"""The simulated market: alike every time, plausible, and earning exactly where an edge was planted."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.corporate_actions import adjust, adjusted
from pipelines.domain.errors import BadParams
from pipelines.domain.market_calendar import bar_times, sessions_between, trading_days_before
from pipelines.domain.news import NEWS_COLUMNS
from pipelines.domain.tick_sizes import tick_size
from pipelines.ingest.kinds import RAW_BAR_COLUMNS
from pipelines.ingest.simulated import REGIMES, simulate
from pipelines.ingest.universe import listings
from pipelines.ingest.world import TRUTH_COLUMNS, World
from pipelines.params import SimulatedParams

END = date(2026, 6, 30)


def a_market(interval: Interval = Interval.MIN_5, **changes) -> World:
    numbers = {"seed": 3, "end": END, "days": 60, "instruments": 6, "edge": "none", "edge_strength": 1.0, "actions": 0}
    return simulate(SimulatedParams(**numbers | changes), interval)


@pytest.fixture(scope="module")
def plain() -> World:
    """Without an edge."""
    return a_market()


def log_returns(world: World) -> pd.DataFrame:
    """Of each stock from bar to bar inside a session; NaN over night."""
    closes = pd.DataFrame({symbol: bars["close"] for symbol, bars in world.bars.items()})
    day = next(iter(world.bars.values()))["open_time"].dt.date
    return np.log(closes).diff()[day == day.shift()]


def t_of_daily_gain(world: World, direction: pd.DataFrame, hold: int) -> float:
    """t statistic over days of what following `direction` for `hold` bars earns before charges."""
    closes = pd.DataFrame({symbol: np.log(bars["close"]) for symbol, bars in world.bars.items()})
    gain = (np.sign(direction) * (closes.shift(-hold) - closes)).mean(axis=1)
    daily = gain.groupby(next(iter(world.bars.values()))["open_time"].dt.date).mean().dropna()
    return daily.mean() / (daily.std() / np.sqrt(len(daily)))


def past_return(world: World, bars: int) -> pd.DataFrame:
    return pd.DataFrame({symbol: np.log(frame["close"]).diff(bars) for symbol, frame in world.bars.items()})


def sentiment_at_close(world: World) -> pd.DataFrame:
    known = {}
    for symbol, bars in world.bars.items():
        news = world.news[world.news["symbol"] == symbol]
        at = bars["close_time"].searchsorted(news["time"])
        known[symbol] = pd.Series(0.0, index=bars.index)
        known[symbol].iloc[at] = news["sentiment"].to_numpy()
    return pd.DataFrame(known).replace(0.0, np.nan)


def test_same_parameters_give_the_same_market():
    one, two = a_market(days=10), a_market(days=10)

    for symbol in one.bars:
        assert_frame_equal(one.bars[symbol], two.bars[symbol], check_exact=True)
    assert_frame_equal(one.news, two.news, check_exact=True)
    assert_frame_equal(one.truth, two.truth, check_exact=True)


def test_another_seed_gives_another_market():
    one, two = a_market(days=10, seed=1), a_market(days=10, seed=2)

    assert not one.bars["TCS"]["close"].equals(two.bars["TCS"]["close"])


@pytest.mark.parametrize("edge", ["none", "momentum", "reversion", "news"])
def test_the_past_does_not_depend_on_later_days(edge):
    sessions = trading_days_before(END, 30)

    longer = a_market(end=sessions[29].day, days=30, edge=edge)
    shorter = a_market(end=sessions[19].day, days=20, edge=edge)

    for symbol, bars in shorter.bars.items():
        assert_frame_equal(bars, longer.bars[symbol].iloc[: len(bars)], check_exact=True)
    until = shorter.bars["TCS"]["close_time"].max()
    assert_frame_equal(shorter.news, longer.news[longer.news["time"] <= until], check_exact=True)
    assert_frame_equal(shorter.truth, longer.truth[longer.truth["close_time"] <= until], check_exact=True)


def test_more_instruments_leave_the_others_as_they_were(plain):
    fewer = a_market(instruments=2)

    assert list(fewer.bars) == list(plain.bars)[:2]
    for symbol, bars in fewer.bars.items():
        assert_frame_equal(bars, plain.bars[symbol], check_exact=True)


@pytest.mark.parametrize("interval", list(Interval))
def test_bars_stand_on_the_sessions_of_the_calendar(interval):
    world = a_market(interval, days=12, instruments=1)

    expected = [times for session in trading_days_before(END, 12) for times in bar_times(session, interval)]
    bars = world.bars["RELIANCE"]
    assert list(zip(bars["open_time"], bars["close_time"], strict=True)) == expected
    assert bars["open_time"].dtype == TIME_DTYPE


def test_hours_change_on_the_day_they_changed():
    world = a_market(end=date(2026, 8, 4), days=5, instruments=1)

    per_day = world.bars["RELIANCE"].groupby(world.bars["RELIANCE"]["open_time"].dt.date).size()
    assert per_day.to_dict() == {
        s.day: len(bar_times(s, Interval.MIN_5)) for s in sessions_between(*per_day.index[[0, -1]])
    }
    assert sorted(set(per_day)) == [72, 75]


def test_tables_have_the_columns_that_were_agreed(plain):
    for bars in plain.bars.values():
        assert tuple(bars.columns) == RAW_BAR_COLUMNS
        assert not bars.isna().any(axis=None)
    assert tuple(plain.news.columns) == NEWS_COLUMNS
    assert tuple(plain.truth.columns) == TRUTH_COLUMNS
    assert list(plain.instruments["symbol"]) == list(plain.bars)


def test_prices_lie_on_the_tick_grid_and_in_their_range(plain):
    ticks = plain.instruments.set_index("symbol")["tick_size"]

    for symbol, bars in plain.bars.items():
        tick = Decimal(ticks[symbol])
        assert all(
            Decimal(repr(float(price))) % tick == 0
            for price in bars[["open", "high", "low", "close"]].to_numpy().ravel()
        )
        assert (bars["low"] > 0).all()
        assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
        assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
        assert (bars["volume"] >= 0).all()


def test_tokens_are_those_of_the_share_segment_and_differ():
    tokens = [listing.token for listing in listings(500)]

    assert all(token & 0xFF == 1 for token in tokens)
    assert len(set(tokens)) == len({listing.symbol for listing in listings(500)}) == 500
    assert max(tokens) < 2**32


@pytest.mark.parametrize(
    ("price", "day", "tick"),
    [
        (170.0, date(2026, 6, 30), "0.01"),
        (402.0, date(2026, 6, 30), "0.05"),
        (1540.0, date(2026, 6, 30), "0.10"),
        (16400.0, date(2026, 6, 30), "1.00"),
        (1540.0, date(2024, 12, 2), "0.05"),
        (170.0, date(2020, 1, 1), "0.05"),
        (170.0, date(1995, 1, 2), "0.05"),
    ],
)
def test_tick_sizes_are_those_of_price_and_day(price, day, tick):
    assert tick_size(price, day) == Decimal(tick)


def test_returns_have_fat_tails_and_clustered_volatility(plain):
    returns = log_returns(plain)

    assert (returns.kurt() > 3).all()
    assert all(returns[symbol].pow(2).autocorr(3) > 0.03 for symbol in returns)


def test_stocks_move_together_and_more_so_within_a_sector(plain):
    together = log_returns(plain).corr()

    assert together.to_numpy().min() > 0.1
    assert together.loc["TCS", "INFY"] > together.loc["TCS", "RELIANCE"]


def test_volume_and_volatility_are_largest_at_the_open_and_rise_to_the_close(plain):
    bars = plain.bars["TCS"]
    clock = bars["open_time"].dt.strftime("%H:%M")

    for measure in (bars["volume"], np.log(bars["high"] / bars["low"])):
        by_time = measure.groupby(clock).median()
        assert by_time["09:15":"09:30"].mean() > 1.5 * by_time["12:00":"13:00"].mean()
        assert by_time["15:15":"15:25"].mean() > by_time["12:00":"13:00"].mean()


def test_nights_bring_gaps(plain):
    bars = plain.bars["TCS"]
    night = bars["open_time"].dt.date != bars["open_time"].dt.date.shift()
    gap = np.log(bars["open"] / bars["close"].shift()).abs()

    assert gap[night].median() > 5 * gap[~night].median()


def test_regimes_switch_and_show_in_volatility():
    world = a_market(seed=7, days=200, instruments=2)

    truth = world.truth[world.truth["symbol"] == "TCS"].reset_index(drop=True)
    spread = log_returns(world)["TCS"].abs().groupby(truth["regime"]).mean()
    assert set(truth["regime"]) == set(REGIMES)
    assert spread.idxmax() == "high_volatility"
    assert spread.idxmin() == "range"


def test_without_an_edge_nothing_can_be_earned_from_the_past(plain):
    returns = log_returns(plain)
    one_bar = returns.corrwith(returns.shift()).abs()

    assert (one_bar < 0.04).all()
    assert abs(t_of_daily_gain(plain, past_return(plain, 6), 24)) < 2.5
    assert abs(t_of_daily_gain(plain, past_return(plain, 48), 24)) < 2.5
    assert abs(t_of_daily_gain(plain, sentiment_at_close(plain), 24)) < 2.5
    assert (plain.truth["drift"] == 0).all()


def test_strength_zero_is_the_market_without_an_edge(plain):
    nothing = a_market(edge="momentum", edge_strength=0.0)

    for symbol, bars in nothing.bars.items():
        assert_frame_equal(bars, plain.bars[symbol], check_exact=True)


@pytest.mark.parametrize(
    ("edge", "direction"),
    [
        ("momentum", lambda world: past_return(world, 48)),
        ("reversion", lambda world: -past_return(world, 6)),
        ("news", sentiment_at_close),
    ],
)
def test_the_planted_edge_shows_in_what_is_known_and_in_the_truth(edge, direction):
    world = a_market(edge=edge)
    planted = world.truth.pivot(index="close_time", columns="symbol", values="drift").reset_index(drop=True)

    assert t_of_daily_gain(world, direction(world), 24) > 3.0
    assert t_of_daily_gain(world, planted[list(world.bars)].replace(0.0, np.nan), 1) > 3.0


def test_an_edge_of_one_pays_charges_in_its_better_signals():
    world = a_market(edge="momentum", days=100)
    closes = pd.DataFrame({symbol: np.log(bars["close"]) for symbol, bars in world.bars.items()})
    past = past_return(world, 48)
    strong = past.abs() > past.abs().quantile(2 / 3)

    gain_bps = 1e4 * (np.sign(past) * (closes.shift(-24) - closes))[strong].stack().mean()

    assert 20.0 < gain_bps < 70.0


def test_headlines_are_a_few_a_day_and_lie_in_their_days(plain):
    news = plain.news

    assert 1 < len(news) / 60 < 8
    assert news["sentiment"].between(-1, 1).all()
    assert news["time"].is_monotonic_increasing
    assert news["time"].dt.hour.between(7, 15).all()
    assert set(news["symbol"]) == set(plain.bars)


def test_days_outside_the_calendar_are_refused():
    with pytest.raises(BadParams, match="another end"):
        a_market(end=date(2027, 2, 1))


def test_planted_actions_change_prices_and_volumes_as_traded_and_nothing_else():
    plain, split = a_market(Interval.MIN_60, days=40), a_market(Interval.MIN_60, days=40, actions=2)

    assert split.actions[["kind", "ratio"]].values.tolist() == [["split", 5.0], ["bonus", 2.0]]
    assert (split.actions["known_at"] < split.actions["ex_date"]).all()
    for symbol, bars in plain.bars.items():
        found = adjust(split.bars[symbol], split.actions, symbol)
        other = adjusted(split.bars[symbol].assign(adjustment=found.factors))
        assert len(found.steps) == (symbol in set(split.actions["symbol"]))
        assert other["close"].to_numpy() == pytest.approx(bars["close"].to_numpy(), abs=0.5)
        assert other["volume"].to_numpy() == pytest.approx(bars["volume"].to_numpy(), abs=1)


def test_planted_actions_stay_in_a_longer_market():
    short = a_market(Interval.DAY, days=30, actions=3)
    longer = a_market(Interval.DAY, days=31, end=date(2026, 7, 1), actions=3)

    pd.testing.assert_frame_equal(short.actions, longer.actions)
