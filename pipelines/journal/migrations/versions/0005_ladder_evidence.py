"""The stage a decision was served from, and moves on the ladder that were asked for and not made."""

from alembic import op

revision = "0005"
down_revision = "0004"

#: Decisions of before are of no stage: nobody can tell any more which alias they were served from
TABLES = """
alter table decisions add column stage text not null default '';
create index decisions_by_policy on decisions (policy_version, close_time);
create index outcomes_by_policy on outcomes (policy_version);
create table policy_refusals (
    refusal_id bigint generated always as identity primary key,
    model text not null,
    version text not null,
    asked text not null,
    actor text not null,
    reason text not null,
    evidence jsonb not null,
    at timestamptz not null,
    recorded_at timestamptz not null default now()
);
create index policy_refusals_by_model on policy_refusals (model, refusal_id);
create function policy_refusals_are_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'policy_refusals is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger policy_refusals_rows_stay before update or delete on policy_refusals
    for each row execute function policy_refusals_are_append_only();
create trigger policy_refusals_table_stays before truncate on policy_refusals
    for each statement execute function policy_refusals_are_append_only();
"""


def upgrade() -> None:
    op.execute(TABLES)
