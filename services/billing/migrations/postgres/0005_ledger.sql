-- The ledger's second half: late charges and write-offs, the keys' budgets, stopped accounts, and what becomes of endings.

-- Since when the operator has stopped the account; null: it is not.
alter table balance add column frozen_at bigint;

alter table hold add column written_off bigint not null default 0;
-- The key that asked, and 1 if the hold counts in the key's budget.
alter table hold add column key bytea;
alter table hold add column budgeted bigint not null default 0;
alter table hold drop constraint hold_state;
alter table hold add constraint hold_state check (state = 'open' or state = 'captured' or state = 'released'
    or state = 'expired' or state = 'late' or state = 'tombstone');
alter table hold drop constraint hold_captured_within;
alter table hold add constraint hold_captured_within check (captured >= 0 and captured <= granted and written_off >= 0);
alter table hold drop constraint hold_captured_only_when_captured;
alter table hold add constraint hold_captured_only_when_captured
    check ((captured = 0 or state = 'captured' or state = 'late') and (written_off = 0 or state = 'late'));
alter table hold add constraint hold_budgeted_by_a_key check (budgeted = 0 or key is not null);

-- Platform accounts: 1 is revenue, 2 is issued credit, 3 is what was written off.
alter table entry drop constraint entry_kind;
alter table entry add constraint entry_kind
    check (kind = 'capture' or kind = 'write_off' or kind = 'top_up' or kind = 'adjustment');

-- What keys with caps may spend, have spent and hold. The caps are written with the key, the rest with the holds.
create table budget (
    key bytea primary key not null,
    account bytea not null,
    mode text collate "C" not null,
    -- Null: no such cap.
    cap_day bigint constraint budget_cap_day check (cap_day >= 0),
    cap_month bigint constraint budget_cap_month check (cap_month >= 0),
    cap_total bigint constraint budget_cap_total check (cap_total >= 0),
    spent_day bigint not null default 0,
    spent_month bigint not null default 0,
    spent_total bigint not null default 0,
    held bigint not null default 0,
    -- Which UTC day (since 1970) and month (year * 12 + month) the sums are of.
    day bigint not null default 0,
    month bigint not null default 0,
    constraint budget_not_negative check (spent_day >= 0 and spent_month >= 0 and spent_total >= 0 and held >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index budget_of on budget (account, mode);

-- How holds ended, in that order, with what explains it: usage, price rows, attempts; empty if nobody said. Append-only, and read
-- in order by whoever sums it up. Never customers' content.
create table ending (
    -- The order in which they were written, as far as there is one: see src/store/horizon.rs.
    seq bigint generated always as identity primary key,
    hold bytea not null,
    receipt text not null,
    created_at bigint not null
);
insert into ending (hold, receipt, created_at)
select hold.id, coalesce(receipt.body, ''), hold.closed_at
from hold left join receipt on receipt.operation = hold.id
where hold.closed_at is not null and hold.state <> 'tombstone'
order by hold.closed_at, hold.id;
drop table receipt;
create trigger ending_is_append_only before update or delete or truncate on ending
for each statement execute function append_only();

-- What customers look at: one row for each operation that has ended, made behind the ledger from its endings.
create table operation (
    -- The hold's.
    id bytea primary key not null,
    account bytea not null,
    mode text collate "C" not null,
    -- Empty: not by a key.
    key bytea not null,
    -- Words of the receipt; empty if it has none.
    route text collate "C" not null,
    model text collate "C" not null,
    provider text collate "C" not null,
    -- How the hold ended.
    outcome text collate "C" not null,
    -- Micro-credits: set aside, charged, and written off by us.
    held bigint not null,
    charged bigint not null,
    written_off bigint not null,
    -- Tokens, where the model counts them.
    input_tokens bigint not null,
    output_tokens bigint not null,
    price_version text not null,
    created_at bigint not null,
    ended_at bigint not null,
    -- The ending that explains it.
    ending bigint not null
);
-- Pages, the newest first: of everything, of a model, of a key.
create index operation_page on operation (account, mode, id);
create index operation_model on operation (account, mode, model, id);
create index operation_key on operation (account, mode, key, id);

-- Operations summed up: what was used on a UTC day (since 1970), by key (empty: none), model and route.
create table usage_day (
    account bytea not null,
    mode text collate "C" not null,
    day bigint not null,
    key bytea not null,
    model text collate "C" not null,
    route text collate "C" not null,
    operations bigint not null,
    -- Those that cost nothing.
    free bigint not null,
    -- Micro-credits.
    charged bigint not null,
    -- Tokens, where the model counts them.
    input_tokens bigint not null,
    output_tokens bigint not null,
    primary key (account, mode, day, key, model, route)
) with (fillfactor = 70);

-- How far jobs that read a table in order have come: the last seq.
create table progress (
    job text collate "C" primary key not null,
    upto bigint not null
);
insert into progress (job, upto) values ('operations', 0);

-- The chain that makes a later change of the books visible: each seal holds the hash of the one before and of the entries since.
-- Append-only.
create table seal (
    n bigint primary key not null,
    -- The last entry it covers, and how many it covers.
    upto bigint not null,
    entries bigint not null,
    -- SHA-256, in hex.
    hash text not null,
    created_at bigint not null
);
create trigger seal_is_append_only before update or delete or truncate on seal
for each statement execute function append_only();
