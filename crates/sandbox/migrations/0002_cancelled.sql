-- When the job was cancelled before it began, in microseconds UTC; null: it was not.
alter table job add column cancelled_at bigint;
