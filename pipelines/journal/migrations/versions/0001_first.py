"""Decisions, intents, orders, fills, positions, outcomes; risk and policy events; the audit chain.

The words of the enums are those of the Python enums in `pipelines.domain`; a test compares them.
"""

from alembic import op

revision = "0001"
down_revision = None

ENUMS = {
    "side": ("BUY", "SELL"),
    "action": ("take", "reduce", "skip"),
    "purpose": ("entry", "stop", "exit"),
    "order_type": ("MARKET", "LIMIT", "SL", "SL-M"),
    "product": ("MIS", "CNC"),
    "intent_status": ("planned", "sent", "open", "done", "cancelled", "rejected", "abandoned"),
    "order_status": ("working", "complete", "cancelled", "rejected"),
    "exit_reason": ("stop", "target", "time", "square_off", "flatten"),
}

TABLES = """
create table accounts (
    account text primary key,
    opening_cash numeric not null,
    opened_at timestamptz not null
);
create table decisions (
    decision_id text primary key,
    account text not null,
    symbol text not null,
    close_time timestamptz not null,
    action action not null,
    side side,
    quantity integer not null check (quantity >= 0),
    reference_price numeric not null,
    stop numeric,
    target numeric,
    hold_bars integer not null,
    signal double precision,
    probability double precision,
    expected_return double precision,
    stop_risk double precision,
    views jsonb not null,
    reasons jsonb not null,
    policy_version text not null,
    catalogue_hash text not null,
    regime text not null,
    extra jsonb not null,
    features_hash text not null,
    latency_ms double precision,
    recorded_at timestamptz not null default now(),
    unique (account, symbol, close_time, policy_version)
);
create table intents (
    intent_id text primary key,
    account text not null,
    tag text not null check (tag ~ '^[A-Za-z0-9]{1,20}$'),
    decision_id text references decisions,
    purpose purpose not null,
    symbol text not null,
    side side not null,
    quantity integer not null check (quantity > 0),
    order_type order_type not null,
    product product not null,
    limit_price numeric,
    trigger_price numeric,
    status intent_status not null,
    reason text not null default '',
    created_at timestamptz not null,
    moved_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    unique (account, tag)
);
create index intents_by_account on intents (account, status);
create table orders (
    account text not null,
    order_id text not null,
    intent_id text references intents,
    tag text,
    symbol text not null,
    side side not null,
    quantity integer not null,
    filled_quantity integer not null,
    order_type order_type not null,
    product product not null,
    status order_status not null,
    trigger_price numeric,
    message text not null default '',
    placed_at timestamptz not null,
    seen_at timestamptz not null default now(),
    primary key (account, order_id)
);
create table order_events (
    event_id bigint generated always as identity primary key,
    account text not null,
    order_id text not null,
    event text not null,
    detail jsonb not null,
    at timestamptz not null,
    recorded_at timestamptz not null default now()
);
create index order_events_by_order on order_events (account, order_id);
create table fills (
    account text not null,
    order_id text not null,
    trade_id text not null,
    symbol text not null,
    side side not null,
    quantity integer not null check (quantity > 0),
    price numeric not null check (price > 0),
    filled_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    primary key (account, order_id, trade_id)
);
create table positions (
    position_id text primary key references decisions,
    account text not null,
    symbol text not null,
    side side not null,
    quantity integer not null check (quantity > 0),
    product product not null,
    entry_price numeric not null,
    entered_at timestamptz not null,
    stop numeric not null,
    target numeric,
    hold_bars integer not null,
    bars_held integer not null,
    mfe_inr numeric not null,
    mae_inr numeric not null,
    exit_reason exit_reason,
    closed_at timestamptz
);
create unique index one_open_position_per_instrument on positions (account, symbol) where closed_at is null;
create table outcomes (
    outcome_id bigint generated always as identity primary key,
    account text not null,
    position_id text not null unique references positions,
    symbol text not null,
    side side not null,
    quantity integer not null,
    decision_id text references decisions,
    policy_version text not null,
    catalogue_hash text not null,
    regime text not null,
    decision_price numeric not null,
    entry_price numeric not null,
    exit_price numeric not null,
    entered_at timestamptz not null,
    exited_at timestamptz not null,
    exit_reason exit_reason not null,
    gross_inr numeric not null,
    charges jsonb not null,
    net_inr numeric not null,
    mfe_inr numeric not null,
    mae_inr numeric not null,
    hold_bars integer not null,
    recorded_at timestamptz not null default now()
);
create table risk_events (
    event_id bigint generated always as identity primary key,
    account text not null,
    symbol text,
    decision_id text references decisions,
    rule text not null,
    measured double precision,
    limit_value double precision,
    evidence text not null,
    at timestamptz not null,
    recorded_at timestamptz not null default now()
);
create table policy_events (
    event_id bigint generated always as identity primary key,
    model text not null,
    version text not null,
    from_stage text,
    to_stage text not null,
    actor text not null,
    reason text not null,
    evidence jsonb not null,
    at timestamptz not null,
    recorded_at timestamptz not null default now()
);
create table audit (
    entry_id bigint generated always as identity primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    previous text not null,
    hash text not null unique
);
"""

GUARD = """
create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'audit is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger audit_rows_stay before update or delete on audit
    for each row execute function audit_is_append_only();
create trigger audit_table_stays before truncate on audit
    for each statement execute function audit_is_append_only();
"""


def upgrade() -> None:
    for name, words in ENUMS.items():
        op.execute(f"create type {name} as enum ({', '.join(repr(word) for word in words)})")
    op.execute(TABLES)
    op.execute(GUARD)
