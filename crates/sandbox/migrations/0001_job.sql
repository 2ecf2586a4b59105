-- What the simulated providers were asked to do and would have billed. One row per accepted request.
create table job (
    -- The id the provider gave to the caller.
    id text not null primary key,
    provider text not null,
    model text not null,
    -- chat | image
    kind text not null,
    -- SHA-256 of the prompt in hex: equal prompts show, their text does not.
    prompt_hash text not null,
    -- When it was accepted, in microseconds UTC.
    at bigint not null,
    -- What the provider would have charged, in micro-US-dollars.
    billed bigint not null
);

create index job_by_provider on job (provider, at);
