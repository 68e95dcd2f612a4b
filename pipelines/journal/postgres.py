"""Where PostgreSQL is: the server that `TRADESAGE_DATABASE_URL` names, or one embedded in the environment.

The embedded server listens on a unix socket only. It keeps running until `stop_embedded`, so that processes started one
after another share it; one that died is started again by whoever asks for it first.
"""

import os
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from pipelines.deadlines import within
from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal import embedded
from pipelines.journal.connecting import engine_at

#: Seconds a server has to answer at first; one that accepts and says nothing would be waited for without end
CONNECT_S = 10


def database_url(database: str) -> str:
    """SQLAlchemy address of one of our databases (`journal`, `mlflow`, `airflow`), created if it is not there.

    Raises
    ------
    ServiceUnavailable : if the server cannot be reached or started.
    """
    named = os.environ.get("TRADESAGE_DATABASE_URL")
    url = _address(named or embedded.start()).set(drivername="postgresql+psycopg2", database=database)
    try:
        _create_missing(url.set(database="postgres"), database)
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ServiceUnavailable(
            f"PostgreSQL at {url.render_as_string(hide_password=True)} does not answer ({reason}); start it, or "
            + ("correct TRADESAGE_DATABASE_URL" if named else f"look into its log {embedded.log_file()}")
        ) from None
    return url.render_as_string(hide_password=False)


def uses_embedded() -> bool:
    return not os.environ.get("TRADESAGE_DATABASE_URL")


def require_named_server() -> None:
    """Do nothing if the server that `TRADESAGE_DATABASE_URL` names answers, or if it names none.

    Raises
    ------
    ServiceUnavailable : if it does not answer: better told before the work of a run than after it.
    """
    if not uses_embedded():
        database_url("journal")


def stop_embedded(patience_s: float = 20.0) -> None:
    """End the embedded server if one runs; open connections are cut, committed work is kept."""
    embedded.stop(patience_s)


def _address(server: str) -> URL:
    try:
        return make_url(server)
    except (ArgumentError, ValueError):  # its text stays untold: it may hold a password
        raise ServiceUnavailable(
            "TRADESAGE_DATABASE_URL is not an address of a server; it should read "
            "postgresql://<user>:<password>@<host>:<port>/postgres, or be unset for the embedded PostgreSQL"
        ) from None


def _create_missing(admin, database: str) -> None:
    engine = engine_at(admin, isolation_level="AUTOCOMMIT")
    try:
        with within(CONNECT_S), engine.connect() as connection:
            known = connection.execute(text("select 1 from pg_database where datname = :name"), {"name": database})
            if known.first() is None:
                with suppress(ProgrammingError):  # another process was first
                    connection.execute(text(f'create database "{database}"'))
    finally:
        engine.dispose()
