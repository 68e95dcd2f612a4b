"""# Promotion

Moves a policy on the ladder `candidate → shadow → paper → canary → champion`, and down again.

**By itself**, after a training run and every hour: **look** works through all candidates of
training runs that the journal has and nobody has looked at. Each enters *shadow* if its sanity gates pass. It takes
*paper* if it is newer than all that stood there, better than what stands there, judged by the checkout's own numbers,
and the market's day is over; if that is not over, the next look goes on. What is refused is in the journal with its
figures. The event that starts it is only a hint: what it says is not read.

**By hand** (Trigger, with *version* and *move*) it always asks a reviewer; without a version it looks.

1. **evidence** collects the gates' verdicts with measured figure and limit, whether the policy can be computed again
   and was judged by the checkout's own limits, and for *canary* and *champion* how it has traded at the stage before.
2. **route**: to **refused** if something protects the stage (its error is the reason in one line), else to **approve**.
3. **approve** waits under *Required Actions* for a reviewer, who must say why. No answer within a day means Reject.
4. **promote** reads the evidence again, checks that a reviewer answered, and writes the move into the journal: who,
   when and on which evidence. A rejection is written there, too, and ends the run as failed. Marking a task as done
   promotes nothing.

A task that died with its worker, or that PostgreSQL did not answer, is tried again twice: each reads what the journal
has and records nothing twice. A refusal is final, and nobody is asked twice.
"""

from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from serving.airflow_environment import CANDIDATE, REVIEWERS
from serving.task_failures import failure

REPO = Path(__file__).resolve().parents[1]
#: Airflow keeps no event for a DAG that is paused, and a session ends without one: what waits is looked at by the hour
LOOKS = CronTriggerTimetable("5 * * * *", timezone="Asia/Kolkata")


@dag(
    schedule=AssetOrTimeSchedule(timetable=LOOKS, assets=[Asset(CANDIDATE)]),
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Kolkata"),
    catchup=False,
    max_active_runs=16,  # runs that wait for a reviewer must not keep candidates waiting
    tags=["promotion"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=15), "retry_exponential_backoff": True},
    params={
        "version": Param(
            None, type=["null", "string"], title="Version", description="of the registry, for example 3", minLength=1
        ),
        "stage": Param(
            "paper",
            enum=["shadow", "paper", "canary", "champion", "retire", "rollback"],
            title="Move",
            description="to a stage; retire takes the version from all of them; rollback needs no version",
        ),
    },
)
def promotion():
    @task.branch(doc_md="To a move that a person asks for, else to the candidates.")
    def begin(params: dict | None = None) -> str:
        asked = params or {}
        return "evidence" if asked.get("version") or asked.get("stage") == "rollback" else "look"

    @task(
        retry_delay=timedelta(minutes=5),
        max_active_tis_per_dag=1,
        doc_md="Every open candidate into shadow, and into paper by the rule; its log has a line for each.",
    )
    def look(run_id: str | None = None) -> list[str]:
        from pipelines.domain.errors import TradeSageError
        from pipelines.promotion.this_machine import look_now

        try:
            looked = look_now(REPO, f"promotion/{run_id}")
        except TradeSageError as error:
            raise AirflowException(f"{type(error).__name__}: {error}") from None
        for each in looked:
            print(each.line)
        if any(each.failed and each.waits for each in looked):  # nothing is lost: it is tried again
            raise AirflowException("; ".join(each.line for each in looked if each.failed))
        if any(each.failed for each in looked):
            raise AirflowFailException("; ".join(each.line for each in looked if each.failed))
        return [each.line for each in looked]

    @task(doc_md="What is known of the version. The table stands in XCom under `shown`.")
    def evidence(params: dict | None = None) -> dict:
        from dataclasses import asdict

        from pipelines.domain.errors import TradeSageError
        from pipelines.promotion.this_machine import ask_now

        asked = params or {}
        try:
            request = ask_now(REPO, asked.get("version"), asked["stage"])
        except TradeSageError as error:
            raise failure(error) from None
        print(request.shown)
        return asdict(request)

    @task.branch(doc_md="Refused by the evidence, else asks a reviewer.")
    def route(found: dict) -> str:
        return "refused" if found["refused"] else "approve"

    @task(doc_md="The evidence says no; the reason is in the log's last line and in the journal. Nothing was moved.")
    def refused(found: dict, run_id: str | None = None) -> None:
        from pipelines.domain.errors import TradeSageError
        from pipelines.promotion.this_machine import refuse_now

        try:
            refuse_now(REPO, found, f"promotion/{run_id}")
        except TradeSageError as error:
            raise failure(error) from None
        raise AirflowFailException(found["refused"])

    @task(doc_md="Makes the move if a reviewer approved what is still true; journals who did not.")
    def promote(found: dict, answer: dict | None, run_id: str | None = None) -> dict:
        from dataclasses import asdict

        from pipelines.domain.errors import TradeSageError
        from pipelines.promotion.approval import NotMoved
        from pipelines.promotion.this_machine import settle_now

        try:
            done = settle_now(REPO, found, answer, REVIEWERS, f"promotion/{run_id}")
        except TradeSageError as error:
            raise failure(error) from None
        if isinstance(done, NotMoved):
            raise AirflowFailException(done.reason)
        return asdict(done)

    approve = HITLOperator(  # not Airflow's ApprovalOperator: that skips what journals a rejection
        task_id="approve",
        retries=0,  # nobody is asked twice
        subject="{{ ti.xcom_pull(task_ids='evidence')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='evidence')['shown'] }}",
        options=["Approve", "Reject"],
        assigned_users=[{"id": name, "name": name} for name in REVIEWERS],
        params={"comment": Param("", type="string", title="Why", description="goes into the journal with your name")},
        defaults="Reject",
        response_timeout=timedelta(hours=24),
        doc_md="Waits for a reviewer under Required Actions.",
    )
    found = evidence()
    begin() >> [look(), found]
    found >> route(found) >> [refused(found), approve]
    promote(found, approve.output)


promotion()
