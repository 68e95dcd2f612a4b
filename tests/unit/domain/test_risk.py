from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.bars import IST
from pipelines.domain.orders import Product
from pipelines.domain.risk import Exposure, Held, Orders, Proposal, RiskLimits, review
from pipelines.domain.risk.sizes import likeness
from pipelines.domain.signals import Side

EQUITY = Decimal("1000000")
NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)
LIMITS = RiskLimits(
    max_positions=4,
    max_position=0.10,
    risk_per_trade=0.01,
    max_gross=1.0,
    max_net=0.9,
    max_sector=0.3,
    max_unclassified=0.95,
    max_correlated=0.5,
    min_correlation=0.5,
    min_share_of_decision=0.2,
    max_daily_loss=0.03,
    max_drawdown=0.10,
    max_price_deviation=0.02,
    max_orders_per_second=8,
    max_orders_per_minute=380,
    max_orders_per_day=4900,
    reserved_for_exits=0.25,
    intraday_margin=0.20,
    margin_buffer=0.02,
    stale_after=timedelta(seconds=120),
    silent_after=timedelta(seconds=60),
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
        "sector": "IT",
        "market_trade_at": NOON,
    }
    return Proposal(**fields | changes)


def an_exposure(**changes) -> Exposure:
    fields = {
        "equity": EQUITY,
        "day_opening_equity": EQUITY,
        "peak_equity": EQUITY,
        "held": {},
        "orders": Orders(),
        "margin_available": EQUITY,
    }
    return Exposure(**fields | changes)


def held(value: int, side: Side = Side.BUY, sector: str = "bank", correlation: float | None = 0.0) -> Held:
    return Held(Decimal(value), side, sector, correlation)


def refused_by(proposal: Proposal, exposure: Exposure) -> list[str]:
    result = review(proposal, exposure, LIMITS)
    assert (result.quantity == 0) == bool(result.refusals)
    return [verdict.gate for verdict in result.refusals]


def test_an_entry_within_all_limits_keeps_its_size():
    assert review(a_proposal(), an_exposure(), LIMITS).quantity == 100


LAST_SECOND = NOON.replace(hour=14, minute=54, second=59)
HEDGED = {"A": held(450_000), "B": held(450_000, Side.SELL)}  # gross 0.9 of equity, net none


@pytest.mark.parametrize(
    ("rule", "outside", "inside"),
    [
        (
            "session hours",
            {"now": NOON.replace(hour=14, minute=55), "market_trade_at": NOON.replace(hour=14, minute=55)},
            {"now": LAST_SECOND, "last_trade_at": LAST_SECOND, "market_trade_at": LAST_SECOND},
        ),
        (
            "session hours",
            {"now": NOON.replace(hour=9, minute=14)},
            {"now": NOON.replace(hour=9, minute=15), "last_trade_at": None, "market_trade_at": None},
        ),
        (
            "stale price",
            {"last_trade_at": NOON - timedelta(seconds=121)},
            {"last_trade_at": NOON - timedelta(seconds=120)},
        ),
        (
            "silent market",
            {"market_trade_at": NOON - timedelta(seconds=61)},
            {"market_trade_at": NOON - timedelta(seconds=60)},
        ),
        ("market-wide halt", {"market_halt_until": NOON + timedelta(minutes=1), "index_move": -0.1}, {}),
        ("restricted list", {"restricted": "ASM stage 4"}, {"restricted": None}),
        ("ex-date", {"ex_date": "split 5 for 1, ex-date 2026-11-23"}, {"ex_date": None}),
        ("price sanity", {"last_price": Decimal("102.05")}, {"last_price": Decimal("102.00")}),
        ("price sanity", {"last_price": Decimal("97.95"), "stop": Decimal("97")}, {"last_price": Decimal("98.05")}),
        ("price sanity", {"last_price": Decimal("0")}, {}),
        ("stop", {"stop": None}, {"stop": Decimal("99.95")}),
        ("stop", {"stop": Decimal("100")}, {}),
        ("stop", {"side": Side.SELL}, {"side": Side.SELL, "stop": Decimal("102")}),
        (
            "short delivery",
            {"product": Product.CNC, "side": Side.SELL, "stop": Decimal("102")},
            {"product": Product.CNC, "side": Side.BUY},
        ),
    ],
)
def test_a_rule_about_the_entry_refuses_just_outside_and_passes_just_inside(rule, outside, inside):
    assert rule in refused_by(a_proposal(**outside), an_exposure())
    assert refused_by(a_proposal(**inside), an_exposure()) == []


@pytest.mark.parametrize(
    ("rule", "outside", "inside"),
    [
        ("one position per instrument", {"held": {"TCS": held(1)}}, {"held": {"INFY": held(1)}}),
        ("number of positions", {"held": dict.fromkeys("ABCD", held(1))}, {"held": dict.fromkeys("ABC", held(1))}),
        (
            "daily loss",
            {"day_opening_equity": EQUITY / Decimal("0.97")},
            {"day_opening_equity": EQUITY / Decimal("0.971")},
        ),
        ("drawdown", {"peak_equity": EQUITY / Decimal("0.90")}, {"peak_equity": EQUITY / Decimal("0.901")}),
        ("order rate", {"orders": Orders(last_second=6)}, {"orders": Orders(last_second=5)}),
        ("order rate", {"orders": Orders(last_minute=285)}, {"orders": Orders(last_minute=284)}),
        ("order rate", {"orders": Orders(today=3675)}, {"orders": Orders(today=3674)}),
        ("gross exposure", {"held": {**HEDGED, "C": held(99_950)}}, {"held": HEDGED}),
        ("net exposure", {"held": {"A": held(899_950)}}, {"held": {"A": held(880_000)}}),
        ("sector exposure", {"held": {"A": held(299_950, sector="IT")}}, {"held": {"A": held(290_000, sector="IT")}}),
        (
            "correlated exposure",
            {"held": {"A": held(499_950, correlation=1.0)}},
            {"held": {"A": held(490_000, correlation=1.0)}},
        ),
        ("margin", {"margin_available": Decimal(20_019)}, {"margin_available": Decimal(22_000)}),
        ("margin", {"margin_available": None}, {}),
    ],
)
def test_a_rule_about_what_is_held_refuses_just_outside_and_passes_just_inside(rule, outside, inside):
    assert rule in refused_by(a_proposal(), an_exposure(**outside))
    assert refused_by(a_proposal(), an_exposure(**inside)) == []


def test_a_refusal_carries_its_figures():
    result = review(a_proposal(), an_exposure(day_opening_equity=EQUITY / Decimal("0.96")), LIMITS)

    [verdict] = result.refusals
    assert (verdict.measured, verdict.limit) == (pytest.approx(0.04), 0.03)
    assert "1000000.00" in verdict.evidence


@pytest.mark.parametrize(
    ("proposal", "exposure", "told"),
    [
        ({"restricted": "ASM stage 4"}, {}, "ASM stage 4"),
        ({"market_halt_until": NOON, "index_move": -0.101}, {}, "index -10.10% from its previous close"),
        ({"sector": ""}, {"held": {"A": held(949_950, Side.SELL, sector="")}}, "its sector is not known"),
        ({}, {"held": {"A": held(800_000, Side.SELL, correlation=-0.9)}}, "A 0.90"),
        ({}, {"margin_available": None}, "not known"),
    ],
)
def test_a_refusal_says_what_it_rests_on(proposal, exposure, told):
    refusals = review(a_proposal(**proposal), an_exposure(**exposure), LIMITS).refusals

    assert any(told in verdict.evidence for verdict in refusals)


@pytest.mark.parametrize(
    ("changes", "exposure", "allowed"),
    [
        ({"quantity": 5000, "stop": Decimal("99")}, {}, 1000),  # a tenth of equity at 100 rupees
        ({"quantity": 900, "stop": Decimal("80")}, {}, 500),  # 10,000 rupees at risk, 20 a share
        ({"quantity": 900}, {"held": {**HEDGED, "C": held(40_000)}}, 600),  # gross
        ({"quantity": 900}, {"held": {"A": held(840_000)}}, 600),  # net: 0.9 of equity
        ({"quantity": 900, "lot_size": 250}, {"held": {"A": held(840_000)}}, 500),
        ({"quantity": 900}, {"held": {"A": held(240_000, sector="IT")}}, 600),
        ({"quantity": 900, "sector": ""}, {"held": {"A": held(890_000, Side.SELL, sector="")}}, 600),
        ({"quantity": 900}, {"held": {"A": held(550_000, correlation=0.8)}}, 600),  # 440,000 of it count
        ({"quantity": 900}, {"held": {"A": held(440_000, correlation=None)}}, 600),
        ({"quantity": 900}, {"margin_available": Decimal(32_000)}, 600),  # 20,000 stay free, 20 rupees a share
        ({"quantity": 900, "product": Product.CNC}, {"margin_available": Decimal(80_000)}, 600),
    ],
)
def test_a_size_is_cut_to_what_a_limit_allows(changes, exposure, allowed):
    assert review(a_proposal(**changes), an_exposure(**exposure), LIMITS).quantity == allowed


@pytest.mark.parametrize(
    ("side", "correlation", "counts"),
    [
        (Side.BUY, 0.8, 0.8),
        (Side.BUY, 0.49, 0.0),
        (Side.BUY, -0.8, 0.0),
        (Side.SELL, 0.8, 0.0),
        (Side.SELL, -0.8, 0.8),  # short what moves against us is the same bet
        (Side.BUY, None, 1.0),
        (Side.SELL, None, 0.0),
    ],
)
def test_what_moves_alike_counts_by_its_correlation(side, correlation, counts):
    assert likeness(held(1, side, correlation=correlation), a_proposal(), LIMITS) == counts


def test_what_is_cut_to_too_little_is_refused_once_with_its_figures():
    def with_gross(third: int):
        return an_exposure(held={**HEDGED, "C": held(third)})

    one_left = review(a_proposal(), with_gross(99_900), LIMITS)
    just_enough = review(a_proposal(), with_gross(98_000), LIMITS)
    nothing_left = review(a_proposal(), with_gross(100_000), LIMITS)

    [refusal] = one_left.refusals
    assert (refusal.gate, refusal.measured, refusal.limit) == ("share of the decision", 0.01, 0.2)
    assert just_enough.quantity == 20
    assert [verdict.gate for verdict in nothing_left.refusals] == ["gross exposure"]


def test_before_the_first_trade_of_a_session_no_price_is_stale():
    proposal = a_proposal(
        last_price=None, last_trade_at=None, market_trade_at=None, now=NOON.replace(hour=9, minute=15)
    )

    assert review(proposal, an_exposure(), LIMITS).quantity == 100


rupees = st.decimals("0", "2000000", places=2)
positions = st.dictionaries(
    st.sampled_from(["A", "B", "TCS"]),
    st.builds(
        Held,
        value=rupees,
        side=st.sampled_from(Side),
        sector=st.sampled_from(["IT", "bank", ""]),
        correlation=st.none() | st.floats(-1, 1),
    ),
)


@settings(max_examples=400)
@given(
    quantity=st.integers(1, 10**6),
    lot_size=st.sampled_from([1, 25, 250]),
    side=st.sampled_from(Side),
    product=st.sampled_from([Product.MIS, Product.CNC]),
    sector=st.sampled_from(["IT", "bank", ""]),
    price=st.decimals("1", "5000", places=2),
    distance=st.decimals("0.05", "0.5", places=2),
    equity=st.decimals("1", "10000000", places=2),
    margin=st.none() | rupees,
    held=positions,
)
def test_a_review_never_enlarges_and_never_breaks_a_limit(
    quantity, lot_size, side, product, sector, price, distance, equity, margin, held
):
    proposal = a_proposal(
        quantity=quantity,
        lot_size=lot_size,
        side=side,
        product=product,
        sector=sector,
        reference_price=price,
        last_price=price,
        stop=price - distance * side.sign,
    )
    exposure = an_exposure(
        equity=equity, day_opening_equity=equity, peak_equity=equity, held=held, margin_available=margin
    )

    allowed = review(proposal, exposure, LIMITS).quantity

    assert 0 <= allowed <= quantity
    assert allowed % lot_size == 0
    if not allowed:
        return
    value = allowed * price
    same_sector = sum((one.value for one in held.values() if one.sector == sector), Decimal(0))
    alike = sum((one.value * Decimal(str(likeness(one, proposal, LIMITS))) for one in held.values()), Decimal(0))
    blocked = value * (Decimal("0.20") if product is Product.MIS else 1)
    assert value <= equity * Decimal("0.10")
    assert allowed * distance <= equity * Decimal("0.01")
    assert value + exposure.gross <= equity
    assert side.sign * (value * side.sign + exposure.net) <= equity * Decimal("0.9")
    assert value + same_sector <= equity * (Decimal("0.3") if sector else Decimal("0.95"))
    assert value + alike <= equity / 2
    assert margin is not None
    assert blocked <= margin - equity * Decimal("0.02")
    assert "TCS" not in held
    assert len(held) < 4
    assert not (product is Product.CNC and side is Side.SELL)
