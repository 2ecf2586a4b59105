-- Responses that are kept, so that they can be looked at and continued.
create table response (
    account blob not null,
    -- 'test' or 'live'.
    mode text not null,
    -- The operation that made it; the customer knows it by a name of the same bits.
    operation blob not null,
    -- The conversation up to its end, sealed; null: deleted, and not to come back by a replay.
    conversation blob,
    -- What the customer read, sealed; null with the conversation.
    object blob,
    created_at bigint not null,
    expires_at bigint not null,
    primary key (account, mode, operation),
    check ((conversation is null) = (object is null))
);
create index response_expiry on response (expires_at);

-- How many bytes of them each account keeps in each mode, so that none can fill the disk.
create table response_room (
    account blob not null,
    mode text not null,
    bytes bigint not null check (bytes >= 0),
    primary key (account, mode)
);
