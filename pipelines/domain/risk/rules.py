"""Rules that say yes or no to an entry, each a verdict with the figures it rests on."""

from pipelines.domain.orders import Product
from pipelines.domain.risk.records import Exposure, Proposal, RiskLimits
from pipelines.domain.signals import Side
from pipelines.domain.verdicts import Verdict


def session_hours(proposal: Proposal, limits: RiskLimits) -> Verdict:
    last = proposal.session_close - limits.square_off
    inside = proposal.session_open <= proposal.now < last
    minutes_left = (last - proposal.now).total_seconds() / 60
    evidence = f"{proposal.now:%H:%M:%S}; entries from {proposal.session_open:%H:%M} to {last:%H:%M}"
    return Verdict("session hours", inside, round(minutes_left, 2), 0.0, evidence)


def fresh_price(proposal: Proposal, limits: RiskLimits) -> Verdict:
    if proposal.last_trade_at is None:
        # Before the first trade of a session there is nothing to be stale: the order meets the opening price
        return Verdict("stale price", True, None, limits.stale_after.total_seconds(), "no trade yet in this session")
    age = (proposal.now - proposal.last_trade_at).total_seconds()
    evidence = f"last trade at {proposal.last_trade_at:%H:%M:%S}"
    return Verdict(
        "stale price", age <= limits.stale_after.total_seconds(), age, limits.stale_after.total_seconds(), evidence
    )


def sane_price(proposal: Proposal, limits: RiskLimits) -> Verdict:
    last = proposal.last_price if proposal.last_price is not None else proposal.reference_price
    if last <= 0 or proposal.reference_price <= 0:
        return Verdict("price sanity", False, None, limits.max_price_deviation, f"price {last} is not above zero")
    deviation = float(abs(last / proposal.reference_price - 1))
    evidence = f"decided at {proposal.reference_price}, last trade {last}"
    return Verdict(
        "price sanity", deviation <= limits.max_price_deviation, deviation, limits.max_price_deviation, evidence
    )


def sane_stop(proposal: Proposal) -> Verdict:
    if proposal.stop is None:
        return Verdict("stop", False, None, None, "an entry without a stop is not sent")
    distance = float((proposal.price - proposal.stop) * proposal.side.sign / proposal.price)
    evidence = f"stop {proposal.stop} for {proposal.side} at {proposal.price}"
    return Verdict("stop", distance > 0, distance, 0.0, evidence)


def delivery_is_long(proposal: Proposal) -> Verdict:
    short = proposal.product is Product.CNC and proposal.side is Side.SELL
    return Verdict("short delivery", not short, float(short), 0.0, f"{proposal.side} for {proposal.product}")


def one_per_instrument(proposal: Proposal, exposure: Exposure) -> Verdict:
    held = proposal.symbol in exposure.held
    return Verdict("one position per instrument", not held, float(held), 0.0, f"{proposal.symbol}")


def others_on_our_side(proposal: Proposal) -> Verdict:
    """An account has one net position: an entry against what others hold in it would take theirs back.

    While others owe shares of an ended trade, what they buy back would count as taken from or given to a new one.
    """
    against = proposal.others * proposal.side.sign < 0
    evidence = f"others hold {proposal.others} shares of {proposal.symbol} in the account"
    if proposal.others_owe:
        evidence += ", and may buy back what they sold of our last trade"
    return Verdict("others' position", not against and not proposal.others_owe, float(proposal.others), 0.0, evidence)


def position_count(exposure: Exposure, limits: RiskLimits) -> Verdict:
    count = len(exposure.held)
    return Verdict("number of positions", count < limits.max_positions, float(count), float(limits.max_positions))


def daily_loss(exposure: Exposure, limits: RiskLimits) -> Verdict:
    lost = float(1 - exposure.equity / exposure.day_opening_equity) if exposure.day_opening_equity > 0 else 1.0
    evidence = f"equity {exposure.equity:.2f}, at the session's start {exposure.day_opening_equity:.2f}"
    return Verdict("daily loss", lost < limits.max_daily_loss, lost, limits.max_daily_loss, evidence)


def drawdown(exposure: Exposure, limits: RiskLimits) -> Verdict:
    lost = float(1 - exposure.equity / exposure.peak_equity) if exposure.peak_equity > 0 else 1.0
    evidence = f"equity {exposure.equity:.2f}, at its peak {exposure.peak_equity:.2f}"
    return Verdict("drawdown", lost < limits.max_drawdown, lost, limits.max_drawdown, evidence)


def order_rate(exposure: Exposure, limits: RiskLimits) -> Verdict:
    """Entries leave a part of each rate to exits and stops, which are never counted out."""
    orders = exposure.orders
    rates = (
        (orders.last_second, limits.max_orders_per_second, "within the last second"),
        (orders.last_minute, limits.max_orders_per_minute, "within the last minute"),
        (orders.today, limits.max_orders_per_day, "today"),
    )
    judged = [(sent, for_entries(most, limits), when) for sent, most, when in rates]
    sent, most, when = max(judged, key=lambda rate: rate[0] / rate[1])
    return Verdict("order rate", sent < most, float(sent), float(most), f"order calls {when}; the rest is for exits")


def for_entries(most: int, limits: RiskLimits) -> int:
    """What entries may use of a rate, at least one call."""
    return max(most - int(most * limits.reserved_for_exits), 1)


def not_restricted(proposal: Proposal) -> Verdict:
    restricted = proposal.restricted is not None
    return Verdict("restricted list", not restricted, float(restricted), 0.0, proposal.restricted or proposal.symbol)


def no_ex_date(proposal: Proposal) -> Verdict:
    """Delivery is not entered on a price of before an ex-date, nor to be left again the same day before one."""
    ahead = proposal.ex_date is not None
    return Verdict("ex-date", not ahead, float(ahead), 0.0, proposal.ex_date or proposal.symbol)


def market_wide_halt(proposal: Proposal) -> Verdict:
    until, move = proposal.market_halt_until, proposal.index_move
    told = f"index {move:+.2%} from its previous close" if move is not None else "no index seen"
    evidence = told if until is None else f"{told}; the market is halted until {until:%Y-%m-%d %H:%M:%S}"
    return Verdict("market-wide halt", until is None, move, None, evidence)


def lively_market(proposal: Proposal, limits: RiskLimits) -> Verdict:
    """A market in which nothing trades is halted, or our feed of it is broken: either way no place to enter."""
    limit = limits.silent_after.total_seconds()
    if proposal.market_trade_at is None:
        return Verdict("silent market", True, None, limit, "no trade yet in this session")
    age = (proposal.now - proposal.market_trade_at).total_seconds()
    evidence = f"last trade anywhere at {proposal.market_trade_at:%H:%M:%S}"
    return Verdict("silent market", age <= limit, age, limit, evidence)
