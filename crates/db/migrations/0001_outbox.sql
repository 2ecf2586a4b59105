-- What must be told to somebody: written with the fact, deleted once told.
create table outbox (
    id blob primary key,
    topic text not null,
    subject blob not null,
    payload blob not null,
    created_at bigint not null,
    -- Not before; rises with every failed try.
    due_at bigint not null,
    attempts bigint not null,
    -- A relay is at it until then.
    claimed_until bigint not null
);
create index outbox_due on outbox (topic, due_at, claimed_until);
