"""News and closed trades: dated, known in time, of an instrument of the run, told once, adding up."""

import pandas as pd
import pytest

from pipelines.ingest.kinds import typed
from pipelines.validate.events import sift_news, sift_outcomes
from pipelines.validate.release import Released

AS_OF = pd.Timestamp("2023-05-31 15:30", tz="Asia/Kolkata")
NOON = pd.Timestamp("2023-05-02 12:00", tz="Asia/Kolkata")


def some_news() -> pd.DataFrame:
    times = pd.date_range("2023-05-02 09:00", periods=6, freq="D", tz="Asia/Kolkata").as_unit("us")
    headlines = [f"ABC does {place}" for place in range(6)]
    return typed(pd.DataFrame({"symbol": "ABC", "time": times, "headline": headlines, "sentiment": 0.2}), "news")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("time", pd.NaT, "missing_value"),
        ("time", AS_OF + pd.Timedelta(seconds=1), "from_the_future"),
        ("symbol", "XYZ", "unknown_symbol"),
        ("sentiment", 1.5, "not_a_sentiment"),
        ("sentiment", float("-inf"), "not_a_sentiment"),
    ],
)
def test_a_faulty_item_of_news_is_set_aside(column, value, rule):
    news = some_news()
    news.loc[3, column] = value

    sifted = sift_news(news, {"ABC"}, AS_OF, {}, Released())

    assert sifted.aside["rule"].tolist() == [rule]
    assert len(sifted.sound) == 5


def test_news_of_the_market_and_without_a_judgement_stay_and_repeats_go():
    news = some_news()
    news.loc[2, "symbol"], news.loc[3, "sentiment"] = "", float("nan")
    news = pd.concat([news, news.tail(1)], ignore_index=True)

    sifted = sift_news(news, {"ABC"}, AS_OF, {}, Released())

    assert sifted.aside["rule"].tolist() == ["duplicate"]


def some_outcomes() -> pd.DataFrame:
    rows = [
        {
            "account": "paper", "decision_id": f"d{place}", "symbol": "ABC", "side": "buy", "pattern": "trend",
            "regime": "bull", "policy_version": "1", "quantity": 10, "entered_at": NOON,
            "exited_at": NOON + pd.Timedelta(hours=1), "entry_price": 100.0, "exit_price": 101.0,
            "exit_reason": "target", "gross_inr": 10.0, "charges_inr": 2.5, "net_inr": 7.5, "mfe_inr": 12.0,
            "mae_inr": -3.0, "hold_bars": 12,
        }
        for place in range(5)
    ]  # fmt: skip
    return typed(pd.DataFrame(rows), "outcomes")


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("net_inr", 7.6, "money_does_not_add_up"),
        ("exited_at", NOON - pd.Timedelta(hours=1), "exit_before_entry"),
        ("exited_at", AS_OF + pd.Timedelta(days=1), "from_the_future"),
        ("mfe_inr", -1.0, "wrong_excursion"),
        ("mae_inr", 1.0, "wrong_excursion"),
        ("symbol", "XYZ", "unknown_symbol"),
        ("entry_price", 0.0, "not_positive"),
        ("charges_inr", -2.5, "not_positive"),
        ("gross_inr", float("nan"), "missing_value"),
        ("decision_id", "d0", "duplicate"),
    ],
)
def test_a_trade_that_breaks_a_law_is_set_aside(column, value, rule):
    outcomes = some_outcomes()
    outcomes.loc[3, column] = value

    sifted = sift_outcomes(outcomes, {"ABC"}, AS_OF, {}, Released())

    assert sifted.aside["rule"].tolist() == [rule]
    assert len(sifted.sound) == 4


def test_sound_trades_pass_and_none_at_all_are_no_matter():
    assert sift_outcomes(some_outcomes(), {"ABC"}, AS_OF, {}, Released()).aside.empty
    assert sift_outcomes(some_outcomes().iloc[:0], {"ABC"}, AS_OF, {}, Released()).verdict is None
