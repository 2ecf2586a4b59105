-- Answers that are given again to equal requests of the same account, where those ask for that.
create table cached (
    account blob not null,
    -- 'test' or 'live'.
    mode text not null,
    -- A keyed MAC of the request, which itself is never written down.
    request_mac blob not null,
    -- The operation that made the answer and was charged for it.
    operation blob not null,
    -- The answer's events, sealed.
    answer blob not null,
    created_at bigint not null,
    expires_at bigint not null,
    primary key (account, mode, request_mac)
);
create index cached_expiry on cached (expires_at);

-- How many bytes of them each account keeps in each mode, so that none can fill the disk.
create table cached_room (
    account blob not null,
    mode text not null,
    bytes bigint not null check (bytes >= 0),
    primary key (account, mode)
);
