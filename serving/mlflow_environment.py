"""MLflow's server behind its own log-in (`basic-auth`): its command, its settings, and the one user it has.

Only people need the log-in: `pipelines/promotion/registry.py` asks the database itself.
"""

import configparser
import os
import sys
from pathlib import Path

from pipelines.credentials import credential
from pipelines.journal.postgres import database_url
from pipelines.paths import state_folder

USER = "admin"
PASSWORD = "mlflow_password_admin"  #: name of the credential  # noqa: S105
USERS_DATABASE = "mlflow_users"


def mlflow_command(host: str, port: int) -> list[str]:
    """The server; what is secret is told by the environment, for a command line is read by everybody."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--app-name",
        "basic-auth",
        "--host",
        host,
        "--port",
        str(port),
    ]
    artifacts = state_folder() / "mlflow" / "artifacts"
    return [*command, "--workers", "1", "--default-artifact-root", artifacts.as_uri(), "--no-serve-artifacts"]


def mlflow_environment() -> dict[str, str]:
    """What the server needs in its environment; makes its databases and its password at first use.

    Raises
    ------
    ServiceUnavailable : PostgreSQL does not answer.
    """
    _renew_password()
    return {
        "MLFLOW_BACKEND_STORE_URI": database_url("mlflow"),
        "MLFLOW_AUTH_CONFIG_PATH": str(_settings()),
        "MLFLOW_AUTH_ADMIN_PASSWORD": mlflow_login()[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": credential("mlflow_secret_key"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven workers of 130 MiB that nobody uses
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def mlflow_login() -> tuple[str, str]:
    """User and password."""
    return USER, credential(PASSWORD)


def _settings() -> Path:
    """MLflow's file of settings, mode 600; whoever is added as a user may do nothing until he is allowed to."""
    parser = configparser.ConfigParser(interpolation=None)
    parser["mlflow"] = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": database_url(USERS_DATABASE).replace("%", "%%"),  # read with interpolation
        "admin_username": USER,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    path = state_folder() / "mlflow" / "basic_auth.ini"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        parser.write(file)
    temporary.replace(path)
    return path


def _renew_password() -> None:
    """Let the password in the credentials be the one that holds: MLflow reads it only when it makes the user."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ProgrammingError
    from werkzeug.security import check_password_hash, generate_password_hash

    engine = create_engine(database_url(USERS_DATABASE))
    try:
        with engine.begin() as connection:
            user = {"user": USER}
            stored = connection.execute(text("select password_hash from users where username = :user"), user).scalar()
            if stored is not None and not check_password_hash(stored, mlflow_login()[1]):
                new = {"hash": generate_password_hash(mlflow_login()[1])}
                connection.execute(text("update users set password_hash = :hash where username = :user"), user | new)
    except ProgrammingError:  # no such table before the first start
        pass
    finally:
        engine.dispose()
