"""A reason of its own for delivery positions that are left before an ex-date."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("alter type exit_reason add value 'ex_date'")
