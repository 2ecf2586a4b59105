-- Which cap of a key its customer was last told to be reached.
create table cap_told (
    key blob not null,
    cap text not null constraint cap_told_cap check (cap = 'day' or cap = 'month' or cap = 'total'),
    -- In which day or month, as the budget counts them; 0 of a cap in all.
    span bigint not null,
    -- Micro-credits of the cap: one that was changed is another one.
    amount bigint not null,
    primary key (key, cap)
);
