"""# Before the open

Looks, before every day that may trade, at what the product takes for granted about the market: holidays, special
sessions, charges, freeze quantities and the other dated tables of `pipelines/domain/facts`.

1. **due** skips the rest on days on which the market stays closed.
2. **facts** says of each table that has run out, or soon will, up to when it is known, what happens after that, and
   where to look it up: one warning each in its log, and the same sentences as its result. If today itself is unknown,
   or its hours are, nothing is traded and the task fails, so that somebody looks. `tradesage status` tells the same.

Nothing is changed by it, and nothing outside of this machine is asked.
"""

from datetime import timedelta

import pendulum
from airflow.sdk import dag, task


@dag(
    schedule="30 8 * * *",  # half an hour before the pre-open; special sessions may lie on a weekend
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Kolkata"),
    catchup=False,
    max_active_runs=1,
    tags=["market"],
    doc_md=__doc__,
)
def before_open():
    @task.short_circuit(retries=0, doc_md="Goes on only if the market trades today, or nobody knows.")
    def due() -> bool:
        from datetime import datetime

        from pipelines.domain.bars import IST
        from pipelines.domain.market_calendar import may_trade

        return may_trade(datetime.now(IST).date())

    @task(
        retries=0,
        execution_timeout=timedelta(minutes=5),
        doc_md="Warns of each dated table that has run out or soon will; fails if today's session is not known.",
    )
    def facts() -> list[str]:
        from datetime import datetime

        from airflow.sdk.exceptions import AirflowFailException

        from pipelines.domain.bars import IST
        from pipelines.domain.errors import TradeSageError
        from serving.facts_check import check_facts

        try:
            return check_facts(datetime.now(IST).date())
        except TradeSageError as error:  # trying again would not help
            raise AirflowFailException(str(error)) from None

    due() >> facts()


before_open()
