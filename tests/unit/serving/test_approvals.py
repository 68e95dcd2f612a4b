"""Who may do what in Airflow: nobody goes round the reviewer, whichever request they send."""

import json

import pytest

from serving.airflow_environment import REVIEWERS, USERS
from tests.airflow_process import in_airflow

ASK = """
import json, sys
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from serving.airflow_environment import USERS
from serving.approvals import ReviewersApprove
manager = ReviewersApprove()
users = {name: SimpleAuthManagerUser(username=name, role=role) for name, role in USERS.items()}
entities = [None, *DagAccessEntity]
allowed = [
    [user, method, entity.value if entity else None, dag]
    for user in users
    for method in ("GET", "POST", "PUT", "DELETE")
    for entity in entities
    for dag in ("training", "promotion", None)
    if manager.is_authorized_dag(
        method=method, user=users[user], access_entity=entity, details=DagDetails(id=dag) if dag else None
    )
]
assigned = {"reviewer", "admin"}
answers = {name: manager.is_authorized_hitl_task(assigned_users=assigned, user=user) for name, user in users.items()}
assets = [user for user in users if manager.is_authorized_asset(method="POST", user=users[user])]
print(json.dumps({"allowed": allowed, "answers": answers, "assets": assets, "entities": len(entities)}))
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> dict:
    found = json.loads(in_airflow(ASK, tmp_path_factory.mktemp("airflow")))
    found["allowed"] = {tuple(each) for each in found["allowed"]}
    return found


def writers(rules: dict, entity: str | None, dag: str | None, *methods: str) -> set[str]:
    return {user for user, method, e, d in rules["allowed"] if e == entity and d == dag and method in methods}


def test_everybody_reads_everything(rules):
    seen = {(user, entity, dag) for user, method, entity, dag in rules["allowed"] if method == "GET"}

    assert len(seen) == len(USERS) * rules["entities"] * 3


def test_only_reviewers_answer_whoever_is_assigned(rules):
    assert {user for user, may in rules["answers"].items() if may} == set(REVIEWERS)
    for dag in ("training", "promotion", None):
        assert writers(rules, "HITL_DETAIL", dag, "POST", "PUT", "DELETE") == set(REVIEWERS)


def test_reviewers_write_nothing_but_answers(rules):
    written = {entity for user, method, entity, _ in rules["allowed"] if user in REVIEWERS and method != "GET"}

    assert written == {"HITL_DETAIL"}
    assert set(REVIEWERS).isdisjoint(rules["assets"])


def test_an_engineer_triggers_a_promotion_and_edits_nothing_of_it(rules):
    done = {
        (method, entity)
        for user, method, entity, dag in rules["allowed"]
        if user == "engineer" and dag in ("promotion", None) and method != "GET"
    }

    assert done == {("POST", "RUN")}
    assert writers(rules, "RUN", None, "POST") == {"admin"}


def test_nobody_writes_what_tasks_hand_on(rules):
    for dag in ("training", "promotion", None):
        assert writers(rules, "XCOM", dag, "POST", "PUT", "DELETE") == set()


def test_a_dag_without_an_approval_stays_with_its_engineers(rules):
    assert writers(rules, "TASK_INSTANCE", "training", "PUT") == {"admin", "engineer"}
    assert writers(rules, "RUN", "training", "POST") == {"admin", "engineer"}


def test_an_auditor_writes_nothing(rules):
    assert {method for user, method, *_ in rules["allowed"] if user == "auditor"} == {"GET"}
