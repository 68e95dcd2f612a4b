"""Words that stopped trading or let it go on, append-only; equity of each day, from which the drawdown is measured.

The words of the enums are those of the Python enums in `pipelines.domain.halts`; a test compares them.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

ENUMS = {
    "halt_word": ("halt", "flatten", "resume"),
    "halt_cause": (
        "by hand",
        "drawdown",
        "losses in a row",
        "slow decisions",
        "reconciliation",
        "stale feed",
        "clock skew",
    ),
}

TABLES = """
create table halts (
    event_id bigint generated always as identity primary key,
    account text not null,
    word halt_word not null,
    cause halt_cause not null,
    reason text not null check (reason <> ''),
    actor text not null check (actor <> ''),
    forced boolean not null default false,
    at timestamptz not null,
    recorded_at timestamptz not null default now()
);
create index halts_by_account on halts (account, event_id);
create table equity_days (
    account text not null,
    day date not null,
    opening_inr numeric not null,
    peak_inr numeric not null,
    last_inr numeric not null,
    at timestamptz not null,
    primary key (account, day)
);
create function halts_are_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'halts is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger halt_rows_stay before update or delete on halts
    for each row execute function halts_are_append_only();
create trigger halt_table_stays before truncate on halts
    for each statement execute function halts_are_append_only();
"""


def upgrade() -> None:
    for name, words in ENUMS.items():
        op.execute(f"create type {name} as enum ({', '.join(repr(word) for word in words)})")
    op.execute(TABLES)
