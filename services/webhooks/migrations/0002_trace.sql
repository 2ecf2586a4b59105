-- The W3C traceparent of the call that published it; '' where there is none.
alter table event add column trace text not null default '';
