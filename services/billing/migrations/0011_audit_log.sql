-- Who changed what: a row for each change of an account, a key, a code or an account's credit that somebody made, written in the
-- transaction of the change. Append-only.
create table audit_log (
    id blob primary key not null,
    -- Whose; null: of no account in particular.
    account blob,
    -- Of which balance; null: of the account.
    mode text constraint audit_log_mode check (mode = 'test' or mode = 'live'),
    -- A key's id, or `operator`.
    actor text not null,
    -- The request that did it; empty: none.
    request text not null,
    -- What was done: `key.create`.
    action text not null,
    -- What it was done to: a TypeID.
    subject text not null,
    -- What became of it, as JSON.
    detail text not null,
    created_at bigint not null
) without rowid;
create index audit_log_of on audit_log (account, id);

create trigger audit_log_is_not_updated before update on audit_log
begin select raise(abort, 'the audit log is append-only'); end;
create trigger audit_log_is_not_deleted before delete on audit_log
begin select raise(abort, 'the audit log is append-only'); end;
