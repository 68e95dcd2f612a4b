"""What an account had before today's orders, whoever gave them: our books begin there, and count the day from it."""

import time
from decimal import Decimal

from serving.executor.broker import LOOKS, Broker
from serving.executor.desk import Terms
from serving.executor.ledger import Ledger

PAUSE_S = 0.2  #: between two looks, if somebody traded while we read


def opening_of(broker: Broker, terms: Terms) -> tuple[Decimal, dict[str, int]]:
    """Cash in rupees and shares by symbol, less what the day's books have moved them by.

    Orders that were given and filled before we began stand in the day's book and are counted from there, so they must
    not be in the opening, too. Cash that is no ledger is taken as it is.

    Raises
    ------
    BrokerSilent : if the books cannot be read.
    """
    for look in range(LOOKS):
        time.sleep(PAUSE_S if look else 0.0)
        orders, fills = broker.orders(), broker.fills()
        cash, shares = broker.cash(), broker.shares()
        if (broker.orders(), broker.fills()) == (orders, fills):
            break
    today = Ledger(product=terms.product)
    for order in orders:
        today.note_order(order)
    for fill in fills:
        if fill.order_id in today.orders:
            today.note_fill(fill)
    opening = {name: shares.get(name, 0) - today.shares.get(name, 0) for name in shares.keys() | today.shares.keys()}
    left = {symbol: quantity for symbol, quantity in opening.items() if quantity}
    return (cash - today.cash if terms.cash_is_a_ledger else cash), left
