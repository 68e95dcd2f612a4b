"""What an account has under way by the journal: open positions, and orders that may fill yet."""

from dataclasses import dataclass

from pipelines.domain.orders import Product
from pipelines.journal.memory import AnyJournal


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Symbols of what is open or may be, and the products it is traded as."""

    symbols: frozenset[str]
    products: frozenset[Product]

    def __bool__(self) -> bool:
        return bool(self.symbols)


def under_way(journal: AnyJournal, account: str) -> UnderWay:
    """Raises JournalAway if the journal does not answer."""
    some = [*journal.open_positions(account), *journal.intents(account, living=True)]
    return UnderWay(frozenset(each.symbol for each in some), frozenset(each.product for each in some))
