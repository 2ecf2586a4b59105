-- Keys complete: a rotated key's old secret, open tasks, and what a key may spend. The twin of the SQLite text.

-- The secret before the last rotation, and until when it opens what the key opens.
alter table api_key add column previous_mac bytea;
alter table api_key add column previous_last_four text;
alter table api_key add column previous_until bigint;
-- Open media tasks; 0 means no limit but the account's.
alter table api_key add column max_open_tasks bigint not null default 0;
create unique index api_key_previous_mac on api_key (previous_mac) where previous_mac is not null;

-- What a key may spend and has spent, in micro-credits: a row for each key that has had a cap. The caps are written when the
-- key is made or changed; all else only with a batch of the ledger.
create table budget (
    -- The key's id.
    key bytea primary key not null references api_key (id),
    account bytea not null,
    mode text collate "C" not null constraint budget_mode check (mode = 'test' or mode = 'live'),
    -- Null means no such cap.
    cap_day bigint constraint budget_cap_day check (cap_day >= 0),
    cap_month bigint constraint budget_cap_month check (cap_month >= 0),
    cap_total bigint constraint budget_cap_total check (cap_total >= 0),
    -- Charged on `day`, in `month` and in all since the key has a budget.
    spent_day bigint not null default 0 constraint budget_spent_day check (spent_day >= 0),
    spent_month bigint not null default 0 constraint budget_spent_month check (spent_month >= 0),
    spent_total bigint not null default 0 constraint budget_spent_total check (spent_total >= 0),
    -- The sum of the key's open holds.
    held bigint not null default 0 constraint budget_held check (held >= 0),
    -- The UTC day (since 1970) and month (year * 12 + month) that the sums belong to.
    day bigint not null default 0,
    month bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
