-- One media task. Its id is also its operation's and its hold's.
create table task (
    id blob primary key,
    account blob not null,
    -- 'test' or 'live'.
    mode text not null,
    route text not null,
    model text not null,
    -- 'reserving', 'queued', 'starting', 'running', 'completed', 'failed'.
    state text not null check (state in ('reserving', 'queued', 'starting', 'running', 'completed', 'failed')),
    -- Rises with every change that customers can see.
    version bigint not null,
    -- Resolved parameters and callback, JSON, sealed.
    request blob not null,
    -- sha256 of the customer's Idempotency-Key; null: none, or no longer guarded.
    idempotency_key blob,
    -- sha256 of the customer's body.
    body_hash blob not null,
    -- Micro-credits.
    held bigint not null check (held > 0),
    charged bigint not null default 0 check (charged >= 0 and charged <= held),
    price_version text not null,
    -- Runs at a provider so far.
    attempts bigint not null default 0,
    -- The run in progress: whose, and what the provider calls it.
    provider text,
    job text,
    -- 0 to 100, where the provider tells.
    progress bigint,
    -- How often the provider was asked about the job, and how often in a row it could not be.
    polls bigint not null default 0,
    poll_failures bigint not null default 0,
    -- Queued: when to ring for it again. Running: when to look next.
    due_at bigint not null,
    -- Queued: not to be taken before, because a provider asked for a pause.
    not_before bigint not null default 0,
    -- A process is at it until then.
    lease_until bigint not null default 0,
    -- Failed: code, message and retry as JSON, sealed.
    error blob,
    created_at bigint not null,
    started_at bigint,
    completed_at bigint,
    deadline_at bigint not null
);
-- An Idempotency-Key makes one task per account, mode and route.
create unique index task_idempotency on task (account, mode, route, idempotency_key);
-- What needs attention, by state and moment. Not a partial index: SQLite would not use it for one state of several.
create index task_due on task (state, due_at);
create index task_deadline on task (deadline_at) where state in ('queued', 'starting', 'running');

-- One run of a task at a provider.
create table attempt (
    task_id blob not null references task (id),
    number bigint not null,
    provider text not null,
    -- 'unknown' from before the submit until the answer is saved.
    outcome text not null check (outcome in ('unknown', 'refused', 'accepted', 'succeeded', 'failed')),
    submitted_at bigint not null,
    primary key (task_id, number)
);
create index attempt_unknown on attempt (submitted_at) where outcome = 'unknown';

-- A file a task made.
create table output (
    task_id blob not null references task (id),
    number bigint not null,
    content_type text not null,
    bytes bigint not null,
    sha256 text not null,
    width bigint,
    height bigint,
    expires_at bigint not null,
    primary key (task_id, number)
);
create index output_expiry on output (expires_at);
