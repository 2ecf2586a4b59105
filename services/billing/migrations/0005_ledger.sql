-- The ledger's second half: late charges and write-offs, the keys' budgets, stopped accounts, and what becomes of endings.
-- (A check cannot be changed in SQLite: such tables are made anew.)

-- Since when the operator has stopped the account; null: it is not.
alter table balance add column frozen_at bigint;

create table new_hold (
    id blob primary key not null,
    -- Null for a tombstone: a release that came before its hold names nobody.
    account blob,
    mode text,
    -- A chat hold can end by time; a media hold ends with its task.
    kind text constraint hold_kind check (kind = 'chat' or kind = 'media'),
    state text not null
        constraint hold_state check (state = 'open' or state = 'captured' or state = 'released' or state = 'expired'
                                     or state = 'late' or state = 'tombstone'),
    -- What was asked for, and the least that was worth having.
    amount bigint not null,
    floor bigint not null,
    -- What was set aside, and what was charged of it in the end.
    granted bigint not null,
    captured bigint not null,
    -- What it cost beyond that, when it was charged late.
    written_off bigint not null default 0,
    -- The key that asked, and 1 if the hold counts in the key's budget.
    key blob,
    budgeted bigint not null default 0,
    -- The version of the price list the amount was computed with.
    price_version text not null,
    created_at bigint not null,
    -- Chat only.
    expires_at bigint,
    closed_at bigint,
    constraint hold_captured_within check (captured >= 0 and captured <= granted and written_off >= 0),
    constraint hold_captured_only_when_captured
        check ((captured = 0 or state = 'captured' or state = 'late') and (written_off = 0 or state = 'late')),
    constraint hold_granted_within check (granted >= floor and granted <= amount),
    constraint hold_has_an_owner check ((state = 'tombstone') = (account is null)),
    constraint hold_chat_expires check ((kind = 'chat') = (expires_at is not null)),
    constraint hold_closed_once check ((state = 'open') = (closed_at is null)),
    constraint hold_budgeted_by_a_key check (budgeted = 0 or key is not null)
) without rowid;
insert into new_hold (id, account, mode, kind, state, amount, floor, granted, captured, price_version, created_at, expires_at,
                      closed_at)
select id, account, mode, kind, state, amount, floor, granted, captured, price_version, created_at, expires_at, closed_at
from hold;
drop table hold;
alter table new_hold rename to hold;
-- Every open hold, also those that never expire: how many there are is asked again and again.
create index hold_open on hold (expires_at) where state = 'open';

-- Every movement of posted credit, twice. Append-only. Platform accounts: 16 bytes, zero but for the last. 1 is revenue, 2 is
-- issued credit, 3 is what was written off. They keep no balance row.
create table new_entry (
    -- The order of booking.
    seq integer primary key,
    -- The hold or transfer that caused it. Its entries sum to zero.
    cause blob not null,
    kind text not null
        constraint entry_kind check (kind = 'capture' or kind = 'write_off' or kind = 'top_up' or kind = 'adjustment'),
    account blob not null,
    mode text not null constraint entry_mode check (mode = 'test' or mode = 'live'),
    amount bigint not null constraint entry_not_zero check (amount <> 0),
    created_at bigint not null
);
insert into new_entry select seq, cause, kind, account, mode, amount, created_at from entry;
drop table entry;
alter table new_entry rename to entry;
create trigger entry_is_not_updated before update on entry
begin select raise(abort, 'entries are append-only'); end;
create trigger entry_is_not_deleted before delete on entry
begin select raise(abort, 'entries are append-only'); end;

-- What keys with caps may spend, have spent and hold. The caps are written with the key, the rest with the holds.
create table budget (
    key blob primary key not null,
    account blob not null,
    mode text not null,
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
) without rowid;
create index budget_of on budget (account, mode);

-- How holds ended, in that order, with what explains it: usage, price rows, attempts; empty if nobody said. Append-only, and read
-- in order by whoever sums it up. Never customers' content.
create table ending (
    seq integer primary key,
    hold blob not null,
    receipt text not null,
    created_at bigint not null
);
insert into ending (hold, receipt, created_at)
select hold.id, coalesce(receipt.body, ''), hold.closed_at
from hold left join receipt on receipt.operation = hold.id
where hold.closed_at is not null and hold.state <> 'tombstone'
order by hold.closed_at, hold.id;
drop table receipt;
create trigger ending_is_not_updated before update on ending
begin select raise(abort, 'endings are append-only'); end;
create trigger ending_is_not_deleted before delete on ending
begin select raise(abort, 'endings are append-only'); end;

-- What customers look at: one row for each operation that has ended, made behind the ledger from its endings.
create table operation (
    -- The hold's.
    id blob primary key not null,
    account blob not null,
    mode text not null,
    -- Empty: not by a key.
    key blob not null,
    -- Words of the receipt; empty if it has none.
    route text not null,
    model text not null,
    provider text not null,
    -- How the hold ended.
    outcome text not null,
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
) without rowid;
-- Pages, the newest first: of everything, of a model, of a key.
create index operation_page on operation (account, mode, id);
create index operation_model on operation (account, mode, model, id);
create index operation_key on operation (account, mode, key, id);

-- Operations summed up: what was used on a UTC day (since 1970), by key (empty: none), model and route.
create table usage_day (
    account blob not null,
    mode text not null,
    day bigint not null,
    key blob not null,
    model text not null,
    route text not null,
    operations bigint not null,
    -- Those that cost nothing.
    free bigint not null,
    -- Micro-credits.
    charged bigint not null,
    -- Tokens, where the model counts them.
    input_tokens bigint not null,
    output_tokens bigint not null,
    primary key (account, mode, day, key, model, route)
) without rowid;

-- How far jobs that read a table in order have come: the last seq.
create table progress (
    job text primary key not null,
    upto bigint not null
) without rowid;
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
) without rowid;
create trigger seal_is_not_updated before update on seal
begin select raise(abort, 'seals are append-only'); end;
create trigger seal_is_not_deleted before delete on seal
begin select raise(abort, 'seals are append-only'); end;
