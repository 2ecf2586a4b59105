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
) with (
    -- A claim changes no indexed column and finds room on its page, so that no index is written for it.
    fillfactor = 50,
    -- Every row is deleted within seconds. Dead ones are what a claim must step over.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_cost_delay = 0
);
create index outbox_due on outbox (topic, due_at);
