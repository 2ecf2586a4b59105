-- Tasks that wait for room at their providers stand in a line: 'live/bfl,fal' names whose. '': it stands in none, and is rung for.
-- In a line, not_before is whose turn it is, account by account.
alter table task add column line text not null default '';
create index task_line on task (line, account, not_before) where state = 'queued' and line <> '';
-- Whose jobs are due to be looked at, provider by provider.
create index task_look on task (mode, provider, due_at) where state = 'running';
