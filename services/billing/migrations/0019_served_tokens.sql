-- For what providers bill for tokens: those of receipts, by class, of how many operations they are, and what these were charged. What was
-- summed up before counts none.
alter table served_hour add column counted bigint not null default 0;
alter table served_hour add column counted_charged bigint not null default 0;
alter table served_hour add column input_tokens bigint not null default 0;
alter table served_hour add column cached_tokens bigint not null default 0;
alter table served_hour add column audio_input_tokens bigint not null default 0;
alter table served_hour add column output_tokens bigint not null default 0;
alter table served_hour add column reasoning_tokens bigint not null default 0;
alter table served_hour add column audio_output_tokens bigint not null default 0;
