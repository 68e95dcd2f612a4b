"""The journal's schema, step by step, by Alembic; `migrate(url)` brings a database to the newest."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from pipelines.deadlines import within
from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.connecting import PATIENT, engine_at

_ONE_AT_A_TIME = 7_071_001  #: advisory lock: two processes may start at once


def migrate(url: str) -> None:
    """Bring the journal's database to the newest schema; nothing happens if it is there.

    Raises
    ------
    ServiceUnavailable : if PostgreSQL does not answer, or a later release has brought the schema further.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    engine = engine_at(url)
    try:
        with within(PATIENT.read_s), engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ServiceUnavailable(f"PostgreSQL does not answer ({reason}); start it: make up") from None
    except CommandError as error:
        raise ServiceUnavailable(
            f"the journal has a schema that this release does not know ({error}); use the release that made it"
        ) from None
    finally:
        engine.dispose()
