-- From what balance on a customer is told that it is low.
create table alert (
    account blob not null,
    mode text not null,
    -- Micro-credits: told when what is posted falls below.
    below bigint not null constraint alert_below check (below > 0),
    -- 'armed': the balance was at or above since it was last told. 'quiet': it was not.
    state text not null constraint alert_state check (state = 'armed' or state = 'quiet'),
    primary key (account, mode)
);
