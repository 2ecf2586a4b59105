-- Of a task that a provider has: how many jobs are before it there, where the provider tells; when its customer asked to cancel it,
-- and when the provider last said that something has changed; 0: never.
alter table task add column queue_position bigint;
alter table task add column cancel_asked_at bigint not null default 0;
alter table task add column heard_at bigint not null default 0;
-- Of a run: what the provider calls it; why it failed, the class of the failure; what the provider says it billed, in millionths of a
-- US dollar; when to look at it although its task has ended, null: not (any more); and how often that was done.
alter table attempt add column job text;
alter table attempt add column reason text not null default '';
alter table attempt add column cost bigint;
alter table attempt add column look_at bigint;
alter table attempt add column looks bigint not null default 0;
create index attempt_look on attempt (look_at) where look_at is not null;
