-- Accounts, keys and the ledger, for PostgreSQL: the twin of the SQLite text beside it, table by table, name by name.
-- Amounts are micro-credits: 1 credit = 1 000 000. Times are microseconds UTC. Ids are 16 bytes (UUIDv7).
-- The checks are the second line of defence: the rules are in src/ledger.rs, and no check should ever fire.
-- Words are compared byte by byte (`collate "C"`): their order never depends on how the server was set up.

-- A customer, or the operator.
create table account (
    id bytea primary key not null,
    name text not null,
    created_at bigint not null
);

-- An account's two balances: test and live credit never meet.
-- Half of each page is kept free, so that the busiest rows there are get their next version on the same page, without a new
-- index entry (a heap-only tuple), and the old one is cleaned away by whoever comes next.
create table balance (
    account bytea not null references account (id),
    mode text collate "C" not null constraint balance_mode check (mode = 'test' or mode = 'live'),
    -- The sum of the balance's entries.
    posted bigint not null,
    -- The sum of its open holds.
    held bigint not null,
    -- How many they are.
    open_holds bigint not null,
    primary key (account, mode),
    constraint balance_held_not_negative check (held >= 0 and open_holds >= 0),
    -- The promise: what is available is never below zero.
    constraint balance_available_not_negative check (posted - held >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Credit set aside for one paid request; its id is the operation's. No foreign keys on the hot path: the audit looks.
create table hold (
    id bytea primary key not null,
    -- Null for a tombstone: a release that came before its hold names nobody.
    account bytea,
    mode text collate "C",
    -- A chat hold can end by time; a media hold ends with its task.
    kind text collate "C" constraint hold_kind check (kind = 'chat' or kind = 'media'),
    state text collate "C" not null
        constraint hold_state check (state = 'open' or state = 'captured' or state = 'released' or state = 'expired'
                                     or state = 'tombstone'),
    -- What was asked for, and the least that was worth having.
    amount bigint not null,
    floor bigint not null,
    -- What was set aside, and what was charged of it in the end.
    granted bigint not null,
    captured bigint not null,
    -- The version of the price list the amount was computed with.
    price_version text not null,
    created_at bigint not null,
    -- Chat only.
    expires_at bigint,
    closed_at bigint,
    constraint hold_captured_within check (captured >= 0 and captured <= granted),
    constraint hold_captured_only_when_captured check (captured = 0 or state = 'captured'),
    constraint hold_granted_within check (granted >= floor and granted <= amount),
    constraint hold_has_an_owner check ((state = 'tombstone') = (account is null)),
    constraint hold_chat_expires check ((kind = 'chat') = (expires_at is not null)),
    constraint hold_closed_once check ((state = 'open') = (closed_at is null))
);

-- What the sweeper looks for.
create index hold_due on hold (expires_at) where state = 'open' and kind = 'chat';

-- Credit given or taken by an operator; the id makes a repeat book nothing twice.
create table transfer (
    id bytea primary key not null,
    account bytea not null,
    mode text collate "C" not null,
    amount bigint not null constraint transfer_not_zero check (amount <> 0),
    actor text not null,
    reason text not null,
    created_at bigint not null
);

-- Every movement of posted credit, twice: on a customer's balance and on a platform account. Append-only.
-- Platform accounts: 16 bytes, zero but for the last. 1 is revenue, 2 is issued credit. They keep no balance row.
create table entry (
    -- The order of booking, as far as there is one: batches of different accounts are booked side by side.
    seq bigint generated always as identity primary key,
    -- The hold or transfer that caused it. Its entries sum to zero.
    cause bytea not null,
    kind text collate "C" not null
        constraint entry_kind check (kind = 'capture' or kind = 'top_up' or kind = 'adjustment'),
    account bytea not null,
    mode text collate "C" not null constraint entry_mode check (mode = 'test' or mode = 'live'),
    amount bigint not null constraint entry_not_zero check (amount <> 0),
    created_at bigint not null
);

-- What explains a charge, as chat or media told it: usage, price rows, attempts. Never customers' content.
create table receipt (
    operation bytea primary key not null,
    body text not null,
    created_at bigint not null
);

-- API keys. The key itself is not here: only its keyed MAC, and the last four characters to tell keys apart.
create table api_key (
    id bytea primary key not null,
    account bytea not null references account (id),
    mode text collate "C" not null constraint api_key_mode check (mode = 'test' or mode = 'live'),
    name text not null,
    mac bytea not null constraint api_key_mac unique,
    last_four text not null,
    -- JSON lists of words: what it may do, which models, from which addresses; an empty list of the latter two means all.
    scopes text not null,
    models text not null,
    ip_allow text not null,
    -- 0 means the configured default.
    rpm bigint not null,
    concurrency bigint not null,
    created_at bigint not null,
    -- Null means never.
    expires_at bigint,
    revoked_at bigint
);
create index api_key_account on api_key (account);

-- The operator's own account: one row, made at the first start.
create table operator (
    -- Always 1: there is one operator.
    one bigint primary key not null constraint operator_is_one check (one = 1),
    account bytea not null references account (id),
    -- The key that AIO_BOOTSTRAP_KEY became; a later change of the variable is ignored.
    bootstrap_key bytea references api_key (id)
);
