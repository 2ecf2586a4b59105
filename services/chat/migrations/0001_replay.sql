-- What a customer's Idempotency-Key stands for: one chat request, from its first step until its answer is no longer kept.
create table replay (
    account blob not null,
    -- 'test' or 'live'.
    mode text not null,
    route text not null,
    -- sha256 of the key, which itself is never written down.
    key_hash blob not null,
    -- sha256 of the route and the customer's body.
    body_hash blob not null,
    -- 'running': it may be charged for a stream that was cut, and then its row goes. 'stored': what it costs is settled, the charge
    -- perhaps not yet booked. 'done': it is booked.
    state text not null check (state in ('running', 'stored', 'done')),
    -- The operation, which is also the hold. Whoever changes the row names it: a request that is taken over gets another.
    operation blob not null,
    -- A process is at it until then.
    locked_until bigint not null,
    -- The answer's events, sealed; null: there is none yet, or it was too long to be kept.
    answer blob,
    -- Micro-credits.
    charged bigint not null default 0 check (charged >= 0),
    -- What explains the charge, JSON, until it is booked.
    receipt text,
    created_at bigint not null,
    expires_at bigint not null,
    primary key (account, mode, route, key_hash)
);
create unique index replay_operation on replay (operation);
create index replay_expiry on replay (expires_at);
create index replay_open on replay (locked_until) where state <> 'done';
