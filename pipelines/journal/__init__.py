"""What happened, in PostgreSQL: decisions, intents, orders, fills, outcomes, and who allowed what."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.journal.journal import Journal


def journal_at(url: str) -> "Journal":
    """The journal at a database, brought to the newest schema first.

    Raises
    ------
    ServiceUnavailable : if PostgreSQL does not answer.
    """
    from pipelines.journal.journal import Journal
    from pipelines.journal.migrations import migrate

    migrate(url)
    return Journal(url)
