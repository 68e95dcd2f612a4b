"""What an order's life needs: limits and triggers in the book, corrections, exits' prices, what an outcome tells.

New words of an enum are added inside the migration's transaction, as PostgreSQL allows since version 12; none of them
is used before it ends.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

WORDS = {
    "product": ("NRML",),
    "purpose": ("correction",),
    "exit_reason": ("emergency", "external"),
}

COLUMNS = """
alter table accounts
    add column opening_shares jsonb not null default '{}';
alter table orders
    add column limit_price numeric,
    add column triggered boolean not null default false;
alter table positions
    add column exit_decision_price numeric;
alter table outcomes
    add column features_hash text not null default '',
    add column entry_slippage_inr numeric not null default 0,
    add column exit_slippage_inr numeric not null default 0,
    add column exit_decision_price numeric,
    add column holding_seconds double precision not null default 0;
"""


def upgrade() -> None:
    for name, words in WORDS.items():
        for word in words:
            op.execute(f"alter type {name} add value '{word}'")
    op.execute(COLUMNS)
