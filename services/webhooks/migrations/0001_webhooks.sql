-- What happened, to be told to a customer. Written once, by its publisher's id.
create table event (
    -- Becomes webhook-id, equal on every attempt.
    id blob primary key,
    account_id blob not null,
    -- 'test' or 'live'; picks the secret that signs.
    mode text not null,
    task_id blob not null,
    -- 'task.completed', 'task.failed'.
    type text not null,
    -- The body to send, byte for byte; sealed for 'event/{id}/payload'.
    payload blob not null,
    created_at bigint not null
);

-- One event on its way to one URL.
create table delivery (
    id blob primary key,
    event_id blob not null references event (id),
    -- Sealed for 'delivery/{id}/url': a callback's path or query may hold a secret.
    url blob not null,
    -- A keyed MAC of the URL's scheme, host and port: those that share a bound, without saying who they are.
    origin blob not null,
    -- 'due' -> 'inflight' -> 'delivered' | 'dead', or back to 'due'.
    state text not null,
    -- Attempts that ended, so that the next one is attempts + 1.
    attempts bigint not null,
    -- Attempts that began. Whoever records an attempt names its claim, so that a late record changes nothing.
    claims bigint not null,
    -- When the next attempt begins at the earliest.
    due_at bigint not null,
    -- In flight until then; afterwards its process is taken for dead.
    lease_until bigint not null,
    -- The HTTP status of the last attempt that got one.
    last_status bigint,
    -- Why the last attempt failed, in our words; never a URL, never what the other side wrote.
    last_error text,
    created_at bigint not null,
    -- When it was delivered or given up.
    ended_at bigint
);
-- Origin first, so that the choice of what is due steps from origin to origin and never walks through one's backlog.
create index delivery_due on delivery (origin, due_at, id) where state = 'due';
create index delivery_inflight on delivery (origin, lease_until) where state = 'inflight';
create index delivery_event on delivery (event_id);

-- What signs the callbacks of an account in one mode. Made when first needed.
create table callback_secret (
    account_id blob not null,
    mode text not null,
    -- 'whsec_' and base64; sealed for 'callback_secret/{account}/{mode}'.
    secret blob not null,
    created_at bigint not null,
    primary key (account_id, mode)
);
