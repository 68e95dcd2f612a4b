"""# Collecting

Brings the **lake** up to date after the close of every trading day: each source of `collect` in `params.yaml` is asked
for what is new since it was last asked. Nothing in the lake is changed by it; what is known already adds nothing.

1. **due** skips the rest on days without a session, and where `params.yaml` names no source. A weekday that the
   calendar does not know is asked for, too: what is not there adds nothing.
2. **collect** asks one source after the other. One that fails does not stop the others: what they gave is kept, the
   task fails at the end with one line for each, and the next try goes on where this one ended.

A success tells the asset *lake*. Secrets come from the environment or from files of mode 600 in the state folder, as
for every process. By hand the same is `tradesage collect`.
"""

from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import Asset, dag, task
from airflow.sdk.exceptions import AirflowFailException

from serving.airflow_environment import LAKE

REPO = Path(__file__).resolve().parents[1]


@dag(
    schedule="30 20 * * *",  # NSE's daily files are out by 20:00; special sessions may lie on a weekend
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Kolkata"),
    catchup=False,
    max_active_runs=1,
    tags=["data"],
    doc_md=__doc__,
)
def collecting():
    @task.short_circuit(
        retries=2,
        retry_delay=timedelta(seconds=15),
        doc_md="Goes on only if the exchange had a session today and there is a source to ask.",
    )
    def due() -> bool:
        from datetime import datetime

        from pipelines.domain.bars import IST
        from pipelines.domain.market_calendar import may_trade
        from pipelines.params import load_params

        named = load_params(REPO / "params.yaml").collect.sources
        return bool(named) and may_trade(datetime.now(IST).date())

    @task(
        outlets=[Asset(LAKE)],
        retries=3,
        retry_delay=timedelta(minutes=20),
        execution_timeout=timedelta(hours=3),
        doc_md="Asks every source; its log tells in one line each what was added, what failed and why.",
    )
    def collect(*, outlet_events=None) -> list[str]:
        from airflow.sdk.exceptions import AirflowException

        from pipelines.domain.errors import TradeSageError
        from serving.collecting import collect_now

        try:
            found = collect_now(REPO, (), None, None)
        except TradeSageError as error:  # nothing to ask: trying again would not help
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        told = [one.in_words() for one in found]
        if any(one.failed for one in found):
            raise AirflowException("; ".join(one.in_words() for one in found if one.failed))
        outlet_events[Asset(LAKE)].extra = {"rows": sum(one.rows for one in found)}
        return told

    due() >> collect()


collecting()
