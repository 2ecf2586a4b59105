-- What leads to the parts of a larger object on its way to a bucket, until it is whole.
alter table upload add column parts text;

-- A file of a task that is being kept, or was: written before its first byte, gone with the end of its task, or by a sweep that deletes
-- what has no place in the task's end.
create table output_coming (
    task_id blob not null references task (id),
    number bigint not null,
    parts text,
    -- Until then its process is at it.
    due_at bigint not null,
    primary key (task_id, number)
);
create index output_coming_due on output_coming (due_at);
