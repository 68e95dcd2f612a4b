"""Airflow on one machine: its settings as environment variables, its database, its users and its three processes.

No `airflow.cfg` is edited; a variable `AIRFLOW__*` that is set already wins, so that another executor or a server of
one's own needs no change here.
"""

import base64
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from pipelines.credentials import credential
from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.postgres import database_url
from pipelines.params import Params
from pipelines.paths import state_folder

REPO = Path(__file__).resolve().parents[1]
#: Days that runs, their tasks and their logs are kept; who approved what stays in our own journal for ever
KEPT_DAYS = 90
#: One heavy job at a time: two cores are soon full
POOL = "training"
#: Asset that a training run tells when it has registered a version; starts the promotion
CANDIDATE = "candidate"
#: Asset that collecting tells when every source was asked; what should follow a full lake may listen to it
LAKE = "lake"
#: Who may answer an approval. They may do nothing else, and nobody else may (see `serving/approvals.py`)
REVIEWERS = ("reviewer",)
#: DAGs that hold an approval; nobody but an administrator edits their runs
GATED_DAGS = ("promotion",)
#: Airflow's roles nest: viewer reads, user answers (reviewers only), op triggers, admin repairs
USERS = {"admin": "admin", "engineer": "op", **dict.fromkeys(REVIEWERS, "user"), "auditor": "viewer"}
#: The processes and their options. No triggerer: nothing here defers, an approval waits without one
PARTS = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),  # it would serve logs on all interfaces otherwise
    "dag-processor": (),
}


def airflow_environment(params: Params) -> dict[str, str]:
    """What Airflow's processes need in their environment, on top of what is there.

    Makes the folder, the database and the secrets at first use; the users' passwords are those of
    `credential("airflow_password_<user>")`.

    Raises
    ------
    ServiceUnavailable : PostgreSQL does not answer.
    """
    home = state_folder() / "airflow"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = f"http://{params.serving.host}:{params.serving.airflow_port}"
    settings = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",  # workers are forked in advance, each of 165 MiB
        "CORE__DAGS_FOLDER": str(REPO / "dags"),
        "CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        "CORE__AUTH_MANAGER": "serving.approvals.ReviewersApprove",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(home)),
        "CORE__FERNET_KEY": _fernet_key(),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": database_url("airflow"),
        "API__HOST": params.serving.host,
        "API__PORT": str(params.serving.airflow_port),
        "API__BASE_URL": url,
        "API__SECRET_KEY": credential("airflow_secret_key"),
        "API__WORKERS": "1",
        "API__INSTANCE_NAME": "TradeSage",
        "API_AUTH__JWT_SECRET": _long(credential("airflow_jwt_secret")),
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # a worker waits out one interval before its next task
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # Tasks of a scheduler that was killed are taken up again by its successor: it counts as dead half a minute
        # after its last heartbeat, and Airflow would look for its tasks only every five minutes
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        # An edited DAG is read at the next refresh all the same; idle, reading and telling of it was 17 MB of log a day
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "120",
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": "3600",
        "LOGGING__LOGGING_LEVEL": "INFO",
        "LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
    }
    ours = {f"AIRFLOW__{name}": value for name, value in settings.items()}
    told = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    return {
        **ours,
        **told,
        "AIRFLOW_HOME": str(home),
        "TRADESAGE_STATE": str(state_folder()),
        "PYTHONPATH": str(REPO),  # the auth manager and the tasks import this checkout, whatever else is installed
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }


def prepare_airflow(params: Params) -> None:
    """Bring Airflow's database to the installed release and make its pool; the second call takes a moment.

    Raises
    ------
    ServiceUnavailable : PostgreSQL does not answer, or Airflow refuses the database; carries its last words.
    """
    if _is_prepared():
        return
    environment = airflow_environment(params)
    with (state_folder() / "airflow" / ".prepare").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the three processes may be started at once
        if _is_prepared():
            return
        _airflow(environment, "db", "migrate")
        _airflow(environment, "pools", "set", POOL, "1", "one heavy job at a time")
        _marker().write_text(json.dumps({"airflow": version("apache-airflow")}), encoding="utf-8")


def clean_airflow(params: Params) -> None:
    """Remove runs, tasks and logs older than `KEPT_DAYS` from Airflow's database and its folder of logs.

    The supervisor calls it once a day; by hand: `python -m serving.processes clean-airflow`.

    Raises
    ------
    ServiceUnavailable : PostgreSQL does not answer, or Airflow refuses; carries its last words.
    """
    before = datetime.now(UTC) - timedelta(days=KEPT_DAYS)
    _airflow(
        airflow_environment(params), "db", "clean", "--clean-before-timestamp", before.isoformat(), "--skip-archive",
        "--yes",
    )  # fmt: skip
    for path in sorted((state_folder() / "airflow" / "logs").rglob("*"), reverse=True):  # files before their folders
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()  # refused while something is in it
            elif path.lstat().st_mtime < before.timestamp():
                path.unlink()


def airflow_commands(params: Params) -> dict[str, list[str]]:
    """The command of each process by its part (`api-server` …), to be run with `airflow_environment`."""
    return {part: [sys.executable, "-m", "airflow", part, *options] for part, options in PARTS.items()}


def airflow_health_url(params: Params) -> str:
    """Answers 200 with the state of each component (`metadatabase`, `scheduler`, `dag_processor`) as JSON."""
    return f"http://{params.serving.host}:{params.serving.airflow_port}/api/v2/monitor/health"


def _airflow(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "airflow", *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[-500:]
        raise ServiceUnavailable(
            f"airflow {' '.join(arguments[:2])} failed ({words}); its home is {state_folder() / 'airflow'}"
        )


def _is_prepared() -> bool:
    """Whether the installed release has prepared the database that is there now; a new or restored one has no pool."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ProgrammingError

    if not _marker().exists() or json.loads(_marker().read_text())["airflow"] != version("apache-airflow"):
        return False
    engine = create_engine(database_url("airflow"))
    try:
        with engine.connect() as connection:
            found = connection.execute(text("select 1 from slot_pool where pool = :pool"), {"pool": POOL})
            return found.first() is not None
    except ProgrammingError:  # no such table
        return False
    finally:
        engine.dispose()


def _marker() -> Path:
    return state_folder() / "airflow" / "prepared.json"


def _passwords(home: Path) -> Path:
    path = home / "passwords.json"
    content = json.dumps({user: credential(f"airflow_password_{user}") for user in USERS})
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)
        os.replace(temporary, path)
    return path


def _long(secret: str) -> str:
    """A signing key of the 64 bytes that HS512 wants, whatever the length of the secret."""
    return hashlib.sha512(secret.encode()).hexdigest()


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(credential("airflow_fernet_key").encode()).digest()).decode()
