-- Tasks that wait for room at their providers stand in a line: 'live/bfl,fal' names whose. '': it stands in none, and is rung for.
-- In a line, not_before is whose turn it is, account by account.
alter table task add column line text not null default '';
create index task_line on task (state, line, account, not_before) where state = 'queued' and line <> '';
-- Whose jobs are due to be looked at, provider by provider.
create index task_look on task (state, mode, provider, due_at) where state = 'running';
-- Whose deadline is over. The state comes first in each of these although it is the same for all: SQLite, which knows nothing of how many
-- rows there are, would else take task_due for it, and read every task that is open.
drop index task_deadline;
create index task_late on task (state, deadline_at) where state in ('queued', 'starting', 'running');
