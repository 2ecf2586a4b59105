-- The key that somebody's playground calls the API with: one for each person, account and mode, which gets another secret for every
-- page. So it is one line of the account's keys and of its usage, whoever looks.
create table playground_key (
    person_id blob not null,
    account_id blob not null,
    mode text not null,
    -- Billing's.
    key_id blob not null,
    primary key (person_id, account_id, mode)
);
