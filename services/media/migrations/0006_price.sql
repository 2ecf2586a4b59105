-- The price of a task as it was when it was accepted: row, unit, factor and what a receipt says of them. JSON, no content; '' of a
-- task that was accepted before there was this column.
alter table task add column price text not null default '';
