from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.bars import IST
from pipelines.domain.orders import Product
from pipelines.domain.risk import Exposure, Proposal, RiskLimits, review
from pipelines.domain.signals import Side

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)
LIMITS = RiskLimits(
    max_positions=3,
    max_position=0.10,
    risk_per_trade=0.01,
    max_gross=1.0,
    min_share_of_decision=0.2,
    max_daily_loss=0.03,
    max_price_deviation=0.02,
    max_orders_per_second=8,
    stale_after=timedelta(seconds=120),
    square_off=timedelta(minutes=20),
)


def a_proposal(**changes) -> Proposal:
    fields = {
        "symbol": "TCS",
        "side": Side.BUY,
        "quantity": 100,
        "lot_size": 1,
        "product": Product.MIS,
        "reference_price": Decimal("100"),
        "stop": Decimal("98"),
        "last_price": Decimal("100"),
        "last_trade_at": NOON,
        "now": NOON,
        "session_open": NOON.replace(hour=9, minute=15),
        "session_close": NOON.replace(hour=15, minute=15),
    }
    return Proposal(**fields | changes)


def an_exposure(**changes) -> Exposure:
    fields = {
        "equity": Decimal("1000000"),
        "day_opening_equity": Decimal("1000000"),
        "gross_by_symbol": {},
        "orders_last_second": 0,
    }
    return Exposure(**fields | changes)


def refused_by(proposal: Proposal, exposure: Exposure) -> list[str]:
    result = review(proposal, exposure, LIMITS)
    assert (result.quantity == 0) == bool(result.refusals)
    return [verdict.gate for verdict in result.refusals]


def test_an_entry_within_all_limits_keeps_its_size():
    assert review(a_proposal(), an_exposure(), LIMITS).quantity == 100


@pytest.mark.parametrize(
    ("rule", "proposal", "exposure"),
    [
        ("session hours", {"now": NOON.replace(hour=14, minute=55)}, {}),
        ("session hours", {"now": NOON.replace(hour=9, minute=14)}, {}),
        ("stale price", {"last_trade_at": NOON - timedelta(seconds=121)}, {}),
        ("price sanity", {"last_price": Decimal("102.05"), "stop": Decimal("98")}, {}),
        ("price sanity", {"last_price": Decimal("0")}, {}),
        ("stop", {"stop": None}, {}),
        ("stop", {"stop": Decimal("100")}, {}),
        ("stop", {"side": Side.SELL}, {}),
        ("short delivery", {"product": Product.CNC, "side": Side.SELL, "stop": Decimal("102")}, {}),
        ("one position per instrument", {}, {"gross_by_symbol": {"TCS": Decimal("1")}}),
        ("number of positions", {}, {"gross_by_symbol": dict.fromkeys("ABC", Decimal("1"))}),
        ("daily loss", {}, {"equity": Decimal("970000")}),
        ("order rate", {}, {"orders_last_second": 8}),
        ("gross exposure", {}, {"gross_by_symbol": {"A": Decimal("999950")}}),
        ("share of the decision", {}, {"gross_by_symbol": {"A": Decimal("999800")}}),
        ("share of the decision", {"quantity": 5010, "stop": Decimal("99")}, {}),
    ],
)
def test_a_rule_refuses_by_its_name(rule, proposal, exposure):
    assert rule in refused_by(a_proposal(**proposal), an_exposure(**exposure))


def test_a_refusal_carries_its_figures():
    result = review(a_proposal(), an_exposure(equity=Decimal("960000")), LIMITS)

    [verdict] = result.refusals
    assert (verdict.measured, verdict.limit) == (pytest.approx(0.04), 0.03)
    assert "960000.00" in verdict.evidence


@pytest.mark.parametrize(
    ("changes", "exposure", "allowed"),
    [
        ({"quantity": 5000, "stop": Decimal("99")}, {}, 1000),  # a tenth of equity at 100 rupees
        ({"quantity": 900, "stop": Decimal("80")}, {}, 500),  # 10,000 rupees at risk, 20 a share
        ({"quantity": 900}, {"gross_by_symbol": {"A": Decimal("940000")}}, 600),
        ({"quantity": 900, "lot_size": 250}, {"gross_by_symbol": {"A": Decimal("940000")}}, 500),
    ],
)
def test_a_size_is_cut_to_what_a_limit_allows(changes, exposure, allowed):
    assert review(a_proposal(**changes), an_exposure(**exposure), LIMITS).quantity == allowed


def test_what_is_cut_to_too_little_is_refused_once_with_its_figures():
    one_left = review(a_proposal(), an_exposure(gross_by_symbol={"A": Decimal("999900")}), LIMITS)
    just_enough = review(a_proposal(), an_exposure(gross_by_symbol={"A": Decimal("998000")}), LIMITS)
    nothing_left = review(a_proposal(), an_exposure(gross_by_symbol={"A": Decimal("1000000")}), LIMITS)

    [refusal] = one_left.refusals
    assert (refusal.gate, refusal.measured, refusal.limit) == ("share of the decision", 0.01, 0.2)
    assert just_enough.quantity == 20
    assert [verdict.gate for verdict in nothing_left.refusals] == ["gross exposure"]


def test_before_the_first_trade_of_a_session_no_price_is_stale():
    proposal = a_proposal(last_price=None, last_trade_at=None, now=NOON.replace(hour=9, minute=15))

    assert review(proposal, an_exposure(), LIMITS).quantity == 100


@given(
    quantity=st.integers(1, 10**6),
    price=st.decimals("1", "5000", places=2),
    distance=st.decimals("0.05", "0.5", places=2),
    equity=st.decimals("1", "10000000", places=2),
    gross=st.decimals("0", "10000000", places=2),
)
def test_a_review_never_enlarges_and_never_breaks_a_limit(quantity, price, distance, equity, gross):
    proposal = a_proposal(quantity=quantity, reference_price=price, last_price=price, stop=price - distance)
    exposure = an_exposure(equity=equity, day_opening_equity=equity, gross_by_symbol={"A": gross})

    allowed = review(proposal, exposure, LIMITS).quantity

    assert 0 <= allowed <= quantity
    assert allowed * price <= equity * Decimal("0.10")
    assert allowed * distance <= equity * Decimal("0.01")
    assert allowed == 0 or allowed * price + gross <= equity
