"""MLflow's real server: nothing is read or written there without the log-in, also on loopback."""

from collections.abc import Iterator

import httpx
import pytest

from pipelines.credentials import secret_file, write_secret
from pipelines.paths import state_folder
from serving.mlflow_environment import PASSWORD, mlflow_environment, mlflow_login
from serving.process import Process, answers, free_port
from serving.processes import mlflow_process
from tests.integration.test_processes import own_params

API = "/api/2.0/mlflow"
FORGED = {"name": "tradesage-policy", "version": "1"}
READS = (
    "/", "/version", f"{API}/experiments/get?experiment_id=0", f"{API}/registered-models/search",
    f"{API}/registered-models/alias?name=tradesage-policy&alias=paper", "/get-artifact?run_uuid=x&path=y",
    "/model-versions/get-artifact?name=tradesage-policy&version=1&path=x", "/signup", "/metrics",
)  # fmt: skip
WRITES = (
    ("POST", f"{API}/registered-models/create", {"name": "forged"}),
    ("POST", f"{API}/model-versions/create", FORGED | {"source": "/tmp"}),
    ("POST", f"{API}/model-versions/set-tag", FORGED | {"key": "commit", "value": "HEAD"}),
    ("POST", f"{API}/registered-models/alias", FORGED | {"alias": "paper"}),
    ("DELETE", f"{API}/registered-models/alias?name=tradesage-policy&alias=paper", {}),
    ("POST", "/ajax-api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]}),
    ("POST", "/graphql", {"query": "{mlflowGetExperiment(input:{experimentId:\"0\"}){experiment{name}}}"}),
    ("POST", f"{API}/users/create", {"username": "eve", "password": "a long enough one"}),
    ("POST", "/v1/traces", {}),
)  # fmt: skip


@pytest.fixture(scope="module")
def mlflow(own_postgres) -> Iterator[Process]:
    with mlflow_process(own_params(), port=free_port()) as process:
        yield process.wait_until_healthy(150)


def ask(mlflow: Process, method: str, path: str, login: tuple[str, str] | None, body: dict | None = None) -> int:
    auth = httpx.BasicAuth(*login) if login else None
    return httpx.request(method, f"{mlflow.url}{path}", json=body, auth=auth, timeout=30, trust_env=False).status_code


@pytest.mark.parametrize("login", [None, ("admin", "password1234"), ("eve", "")])
def test_nothing_is_read_or_written_without_the_log_in(mlflow, login):
    read = {path: ask(mlflow, "GET", path, login) for path in READS}
    written = {(method, path): ask(mlflow, method, path, login, body) for method, path, body in WRITES}

    assert set(read.values()) == {401}, read
    assert set(written.values()) == {401}, written


def test_the_password_of_the_credentials_opens_it_and_lies_in_a_closed_file(mlflow):
    status = ask(mlflow, "GET", READS[2], mlflow_login())

    assert status == 200
    assert secret_file(PASSWORD).stat().st_mode & 0o777 == 0o600
    assert (state_folder() / "mlflow" / "basic_auth.ini").stat().st_mode & 0o777 == 0o600
    assert mlflow_login()[1] not in " ".join(mlflow.command)


def test_a_user_who_is_added_may_do_nothing_yet(mlflow):
    eve = {"username": "eve", "password": "a long enough one"}
    assert ask(mlflow, "POST", f"{API}/users/create", mlflow_login(), eve) == 200

    statuses = [ask(mlflow, method, path, tuple(eve.values()), body) for method, path, body in WRITES[1:5]]
    read = ask(mlflow, "GET", READS[2], tuple(eve.values()))

    assert read == 403
    assert not [status for status in statuses if status < 400]


def test_health_is_asked_with_the_log_in_and_a_wrong_one_is_no_health(mlflow):
    assert mlflow.healthy()
    assert not answers(mlflow.health_url, login=("admin", "wrong"))


def test_a_password_that_was_replaced_holds_from_the_next_start(mlflow):
    before = mlflow_login()
    write_secret(secret_file(PASSWORD), "another-password-of-some-length")

    mlflow_environment()  # as at each start

    assert ask(mlflow, "GET", READS[2], before) == 401
    assert ask(mlflow, "GET", READS[2], mlflow_login()) == 200
