-- Credit that expires. Append-only transfers give it; what becomes of each gift is counted here, behind the ledger.
create table lot (
    -- The transfer that gave it.
    id blob primary key not null,
    account blob not null,
    mode text not null,
    -- Micro-credits: given, used by charges and by what operators took away, and taken back when it expired.
    amount bigint not null constraint lot_amount check (amount > 0),
    used bigint not null default 0,
    expired bigint not null default 0,
    created_at bigint not null,
    expires_at bigint not null,
    -- The transfer that takes back what is left, decided before it is booked, so that it is booked once.
    taking blob,
    taking_amount bigint,
    -- When nothing was left of it.
    closed_at bigint,
    constraint lot_within check (used >= 0 and expired >= 0 and used + expired <= amount),
    constraint lot_taking check ((taking is null) = (taking_amount is null))
);
-- Those that are looked at, the soonest to expire first.
create index lot_open on lot (account, mode, expires_at) where closed_at is null;

insert into progress (job, upto) values ('lots', 0);
