-- How large an uploaded picture or film is, in pixels, and how long a film or a sound lasts; null of others, and where it does not say.
alter table upload add column width bigint;
alter table upload add column height bigint;
alter table upload add column duration_millis bigint;

-- How long an account's files are kept, where an operator has said so, in seconds; null: as long as everybody's. The last word counts, and
-- who said it.
create table retention (
    account blob primary key,
    outputs bigint check (outputs > 0),
    uploads bigint check (uploads > 0),
    set_at bigint not null,
    -- A key's id, or 'operator'; and the id of the request.
    actor text not null,
    request text not null
);

-- What operators look for among the tasks of everybody, the newest first: how they stand, and whose they are. Those of an account are
-- found as its customer finds them.
create index task_operator on task (state, id);
create index task_provider on task (provider, state, id) where provider is not null;
create index task_operator_model on task (model, state, id);
