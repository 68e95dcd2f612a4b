"""What the product takes for granted about the market, looked at before a day begins."""

import logging
from datetime import date

from pipelines.domain.errors import BadInput
from pipelines.domain.fact_tables import running_out
from pipelines.domain.market_calendar import session_on, trades_on, why_no_session

LOG = logging.getLogger(__name__)


def check_facts(day: date) -> list[str]:
    """Sentences on the dated tables that have run out by a day or soon will; each is a warning in the log, too.

    Raises
    ------
    BadInput : if the market may trade that day and nobody knows whether or when, so that nothing will be traded.
    """
    found = running_out(day)
    for sentence in found:
        LOG.warning("%s", sentence)
    if session_on(day) is None and trades_on(day) is not False:
        raise BadInput(f"{why_no_session(day)}: nothing is traded; complete the tables in pipelines/domain/facts")
    return found
