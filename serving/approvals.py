"""Who may do what in Airflow, so that no promotion goes round its reviewer.

With Airflow's stock roles an operator can mark the approval as done, or write the approval's answer into XCom, and the
promotion goes ahead. Here a reviewer answers approvals and does nothing else; nobody else answers; runs of a DAG that
holds an approval are triggered by operators and edited by administrators only; and nobody, administrators included,
writes an answer by another way than the form. Nobody writes what tasks of any DAG hand on: a training run would
otherwise register, as its own, what lies in a folder that somebody names.
"""

from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.resource_details import (
    AssetAliasDetails,
    AssetDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

from serving.airflow_environment import GATED_DAGS, REVIEWERS


class ReviewersApprove(SimpleAuthManager):
    """Airflow's simple auth manager with the approval closed; set by `AIRFLOW__CORE__AUTH_MANAGER`."""

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: SimpleAuthManagerUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """Whether `user` may do `method` to a DAG, or to its runs, tasks, answers or XComs (`access_entity`).

        `details.id` is None where a request names no single DAG; it then counts as one that holds an approval.
        """
        stock = super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
        if method == "GET" or not stock:
            return stock
        if access_entity is DagAccessEntity.HITL_DETAIL:
            return is_reviewer(user)
        if is_reviewer(user) or access_entity is DagAccessEntity.XCOM:
            return False
        dag = details.id if details else None
        if dag is not None and dag not in GATED_DAGS:
            return True
        if access_entity is DagAccessEntity.RUN and method == "POST" and dag is not None:
            return _has_role(user, "op", "admin")
        return _has_role(user, "admin")

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: SimpleAuthManagerUser) -> bool:
        """Only an assigned reviewer answers, also where Airflow is told that everybody is an administrator."""
        return is_reviewer(user) and user.get_id() in assigned_users

    def is_authorized_asset(
        self, *, method: ResourceMethod, user: SimpleAuthManagerUser, details: AssetDetails | None = None
    ) -> bool:
        """Reviewers look at assets and post no events."""
        return (method == "GET" or not is_reviewer(user)) and super().is_authorized_asset(
            method=method, user=user, details=details
        )

    def is_authorized_asset_alias(
        self, *, method: ResourceMethod, user: SimpleAuthManagerUser, details: AssetAliasDetails | None = None
    ) -> bool:
        return (method == "GET" or not is_reviewer(user)) and super().is_authorized_asset_alias(
            method=method, user=user, details=details
        )


def is_reviewer(user: SimpleAuthManagerUser) -> bool:
    return user.get_id() in REVIEWERS


def _has_role(user: SimpleAuthManagerUser, *roles: str) -> bool:
    return (user.role or "").lower() in roles
