-- What moved a balance, in order: a row for each entry of a customer's, with the balance behind it. Made behind the ledger from its
-- entries, so that a page of it costs no more than its rows.
create table movement (
    account bytea not null,
    mode text collate "C" not null,
    -- From 1 on, without a gap.
    n bigint not null,
    -- The entry's seq.
    entry bigint not null,
    -- Micro-credits: what was posted then.
    balance bigint not null,
    primary key (account, mode, n)
);

insert into progress (job, upto) values ('movements', 0);
