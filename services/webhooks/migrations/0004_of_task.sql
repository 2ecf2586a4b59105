-- What became of the events of a task. Those about none have an empty id.
create index event_task on event (task_id);
