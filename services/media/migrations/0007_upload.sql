-- A file that a customer has uploaded, to be used as an input.
create table upload (
    id blob primary key,
    account blob not null,
    -- 'test' or 'live'.
    mode text not null,
    -- 'coming': its bytes are on their way. 'kept': whole. 'going': nobody finds it any more, and its bytes are being deleted.
    state text not null check (state in ('coming', 'kept', 'going')),
    -- What its sender calls it, sealed.
    filename blob not null,
    -- What its sender wants it for; empty until it is whole, as are the next two.
    purpose text not null default '',
    content_type text not null default '',
    sha256 text not null default '',
    -- Bytes of it; while it is coming, the most it may have. Either way what it takes of its account's room.
    bytes bigint not null check (bytes >= 0),
    created_at bigint not null,
    -- Kept no longer from then on.
    expires_at bigint not null,
    -- When a sweep looks after it: expired, given up by its sender's process, or not deleted yet.
    due_at bigint not null
);
-- An account's files, in the order of their ids, which is that of their making.
create index upload_list on upload (account, mode, id);
create index upload_due on upload (due_at);

-- What an account's files take.
create table upload_room (
    account blob not null,
    mode text not null,
    files bigint not null check (files >= 0),
    bytes bigint not null check (bytes >= 0),
    primary key (account, mode)
);
