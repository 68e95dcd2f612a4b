"""What stands at the broker, read there and nowhere else: the proof that an account is flat."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.table import Table

from pipelines.domain.orders import BookedOrder, OrderStatus
from serving.executor.broker import Broker


@dataclass(frozen=True, slots=True)
class Standing:
    shares: Mapping[str, int]  #: by symbol, below zero when short, where we trade or have traded today
    orders: tuple[BookedOrder, ...]  #: working ones of ours
    foreign: tuple[BookedOrder, ...]  #: working ones that none of our intents asked for; they are never touched
    others: Mapping[str, int] = field(default_factory=dict)  #: shares in which we have no part

    @property
    def flat(self) -> bool:
        """No position, and no order of ours that could make one."""
        return not self.shares and not self.orders

    def table(self, title: str) -> Table:
        table = Table(title=title, caption=f"{len(self.shares)} positions, {len(self.orders)} working orders of ours")
        for name in ("symbol", "shares", "order", "type", "quantity", "filled"):
            table.add_column(name, justify="left" if name in ("symbol", "order", "type") else "right")
        for symbol, quantity in sorted(self.shares.items()):
            table.add_row(symbol, str(quantity), "", "", "", "")
        for symbol, quantity in sorted(self.others.items()):
            table.add_row(f"{symbol} (not ours)", str(quantity), "", "", "", "")
        for order in self.orders:
            table.add_row(order.symbol, "", order.order_id, *_of(order))
        for order in self.foreign:
            table.add_row(order.symbol, "", f"{order.order_id} (not ours)", *_of(order))
        return table


def standing_at(broker: Broker, tags: Iterable[str], held: Iterable[str]) -> Standing:
    """Read the broker's books.

    Parameters
    ----------
    tags : of all our intents
    held : symbols of the journal's open positions
    """
    ours, orders, shares = set(tags), broker.orders(), broker.shares()
    symbols = set(held) | {order.symbol for order in orders if order.tag in ours}
    working = [order for order in orders if order.status is OrderStatus.WORKING]
    return Standing(
        {symbol: quantity for symbol, quantity in shares.items() if symbol in symbols},
        tuple(order for order in working if order.tag in ours),
        tuple(order for order in working if order.tag not in ours),
        {symbol: quantity for symbol, quantity in shares.items() if symbol not in symbols},
    )


def _of(order: BookedOrder) -> tuple[str, str, str]:
    return f"{order.side} {order.order_type}", str(order.quantity), str(order.filled_quantity)
