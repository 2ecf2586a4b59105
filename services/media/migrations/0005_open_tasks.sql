-- How many tasks a key and an account have open. The key that submitted a task; null: it is from before this was kept.
alter table task add column key_id blob;
-- Open is what has not ended.
create index task_open on task (account, mode, key_id) where completed_at is null;
