"""# Promotion

Moves a policy up the ladder `candidate → shadow → paper → canary → champion`.

* After a **training** run this starts by itself and asks for *paper*. No person is needed: paper trades with no money,
  only the sanity gates must pass.
* **By hand** (Trigger, with *version* and *stage*) it always asks a reviewer. *canary* and *champion* also need every
  gate.

1. **evidence** collects the gates' verdicts with measured figure and limit, and whether the policy can be computed
   again and was judged by the checkout's own limits.
2. **route**: to **refused** if a gate that protects the stage failed (its error is the reason in one line), else to
   **approve**, or straight to **enter_paper**.
3. **approve** waits under *Required Actions* for a reviewer, who must say why. No answer within a day means Reject.
4. **promote** reads the evidence again, checks that a reviewer answered, moves the alias and writes who, when and on
   which evidence into the journal. Marking a task as done promotes nothing.
"""

from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from serving.airflow_environment import CANDIDATE, REVIEWERS

REPO = Path(__file__).resolve().parents[1]


def move(found: dict, approval, run_id: str | None) -> dict:
    """Make the move with this machine's registry and journal; a reason against it fails the task in one line."""
    from dataclasses import asdict

    from pipelines.domain.errors import TradeSageError
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from pipelines.params import load_params
    from pipelines.promotion.approval import NotMoved, promote_as_shown
    from pipelines.promotion.registry import default_registry

    try:
        registry = default_registry(load_params(REPO / "params.yaml"))
        journal = journal_at(database_url("journal"))
        done = promote_as_shown(registry, journal, found, REPO, approval, f"promotion/{run_id}")
    except TradeSageError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    if isinstance(done, NotMoved):
        raise AirflowFailException(done.reason)
    return asdict(done)


@dag(
    schedule=[Asset(CANDIDATE)],
    catchup=False,
    max_active_runs=4,
    tags=["promotion"],
    doc_md=__doc__,
    default_args={"retries": 0},
    params={
        "version": Param(
            None, type=["null", "string"], title="Version", description="of the registry, for example 3", minLength=1
        ),
        "stage": Param("paper", enum=["paper", "canary", "champion"], title="Stage"),
    },
)
def promotion():
    @task(doc_md="What is known of the version. The table stands in XCom under `shown`.")
    def evidence(params: dict | None = None, triggering_asset_events: dict | None = None) -> dict:
        from pipelines.domain.errors import TradeSageError
        from pipelines.journal import journal_at
        from pipelines.journal.postgres import database_url
        from pipelines.params import load_params
        from pipelines.promotion.evidence import gather_evidence

        events = (triggering_asset_events or {}).get(Asset(CANDIDATE)) or []
        version = events[-1].extra.get("version") if events else (params or {}).get("version")
        stage = "paper" if events else (params or {})["stage"]
        if not version:
            raise AirflowFailException("no version was given; trigger with a version of the registry")
        try:
            model = load_params(REPO / "params.yaml").promotion.model
            known = journal_at(database_url("journal")).policy_events(model)
            found = gather_evidence(known, str(version), stage, REPO)
        except TradeSageError as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        shown = found.as_markdown()
        print(shown)
        return {
            "version": found.version,
            "stage": found.stage,
            "by_hand": not events,
            "refused": found.in_one_line() if found.against else None,
            "shown": shown,
            "digest": found.digest,
        }

    @task.branch(doc_md="Refused by the gates, asks a reviewer, or enters paper by itself.")
    def route(found: dict) -> str:
        if found["refused"]:
            return "refused"
        return "approve" if found["by_hand"] or found["stage"] != "paper" else "enter_paper"

    @task(doc_md="The gates said no; the reason is in the log's last line. Nothing was moved.")
    def refused(found: dict) -> None:
        raise AirflowFailException(found["refused"])

    @task(doc_md="Lets a candidate into paper trading: the sanity gates passed, no money is at stake.")
    def enter_paper(found: dict, run_id: str | None = None) -> dict:
        return move(found, None, run_id)

    @task(doc_md="Moves the alias if a reviewer approved what is still true.")
    def promote(found: dict, answer: dict | None, run_id: str | None = None) -> dict:
        from pipelines.promotion.approval import NotMoved, approval_from

        approval = approval_from(answer, REVIEWERS)
        if isinstance(approval, NotMoved):
            raise AirflowFailException(approval.reason)
        return move(found, approval, run_id)

    approve = ApprovalOperator(
        task_id="approve",
        subject="Promote policy version {{ ti.xcom_pull(task_ids='evidence')['version'] }}"
        " to {{ ti.xcom_pull(task_ids='evidence')['stage'] }}?",
        body="{{ ti.xcom_pull(task_ids='evidence')['shown'] }}",
        assigned_users=[{"id": name, "name": name} for name in REVIEWERS],
        params={"comment": Param("", type="string", title="Why", description="goes into the journal with your name")},
        defaults="Reject",
        response_timeout=timedelta(hours=24),
        doc_md="Waits for a reviewer under Required Actions.",
    )
    found = evidence()
    found >> route(found) >> [refused(found), enter_paper(found), approve]
    promote(found, approve.output)


promotion()
