-- How work ended, of everybody together, by the hour: what operators look at. Made behind the ledger, with `operation`.
create table served_hour (
    -- Hours since 1970, UTC, in which it ended.
    hour bigint not null,
    mode text not null,
    -- Words of the receipt; empty if it has none.
    model text not null,
    provider text not null,
    -- How the hold ended, and how the work did by its receipt.
    outcome text not null,
    class text not null,
    operations bigint not null,
    -- Micro-credits: charged, and written off by us.
    charged bigint not null,
    written_off bigint not null,
    primary key (hour, mode, model, provider, outcome, class)
);
-- Of what was summed up before, it is not known how the work ended.
insert into served_hour (hour, mode, model, provider, outcome, class, operations, charged, written_off)
select ended_at / 3600000000, mode, model, provider, outcome, '', count(*), cast(sum(charged) as bigint), cast(sum(written_off) as bigint)
from operation group by ended_at / 3600000000, mode, model, provider, outcome;
