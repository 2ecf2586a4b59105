-- Who changed what: a row for each change of an account, a key, a code or an account's credit that somebody made, written in the
-- transaction of the change. Append-only.
create table audit_log (
    id bytea primary key not null,
    -- Whose; null: of no account in particular.
    account bytea,
    -- Of which balance; null: of the account.
    mode text collate "C" constraint audit_log_mode check (mode = 'test' or mode = 'live'),
    -- A key's id, or `operator`.
    actor text collate "C" not null,
    -- The request that did it; empty: none.
    request text not null,
    -- What was done: `key.create`.
    action text collate "C" not null,
    -- What it was done to: a TypeID.
    subject text collate "C" not null,
    -- What became of it, as JSON.
    detail text not null,
    created_at bigint not null
);
create index audit_log_of on audit_log (account, id);

create trigger audit_log_is_append_only before update or delete or truncate on audit_log
for each statement execute function append_only();
