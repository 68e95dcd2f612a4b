"""What happened, in PostgreSQL: decisions, intents, orders, fills, outcomes, and who allowed what."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.journal.connecting import TimeLimits
    from pipelines.journal.journal import Journal


def journal_at(url: str, limits: "TimeLimits | None" = None) -> "Journal":
    """The journal at a database, brought to the newest schema first.

    Parameters
    ----------
    url : SQLAlchemy address
    limits : how long PostgreSQL may take for a call; `connecting.PATIENT` by default

    Raises
    ------
    ServiceUnavailable : if PostgreSQL does not answer.
    """
    from pipelines.journal.connecting import PATIENT
    from pipelines.journal.journal import Journal
    from pipelines.journal.migrations import migrate

    migrate(url)
    return Journal(url, limits or PATIENT)
