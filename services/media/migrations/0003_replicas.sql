-- Several processes may work on these tables at once. Times a process took the task: whoever moves it names its claim, so that
-- one who slept past its lease moves nothing.
alter table task add column claims bigint not null default 0;
-- The W3C traceparent of the request that submitted it; '' where there is none.
alter table task add column trace text not null default '';
