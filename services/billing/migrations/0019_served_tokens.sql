-- What providers bill for tokens: the tokens of receipts, by class, and of how many operations. What was summed up before counts none.
alter table served_hour add column counted bigint not null default 0;
alter table served_hour add column input_tokens bigint not null default 0;
alter table served_hour add column cached_tokens bigint not null default 0;
alter table served_hour add column audio_input_tokens bigint not null default 0;
alter table served_hour add column output_tokens bigint not null default 0;
alter table served_hour add column reasoning_tokens bigint not null default 0;
alter table served_hour add column audio_output_tokens bigint not null default 0;
