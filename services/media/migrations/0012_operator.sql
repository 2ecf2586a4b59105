-- What an account keeps of what its tasks made.
create table output_room (
    account blob not null,
    mode text not null,
    files bigint not null,
    bytes bigint not null,
    primary key (account, mode)
);
insert into output_room (account, mode, files, bytes)
select t.account, t.mode, count(*), cast(sum(o.bytes) as bigint)
from output o join task t on t.id = o.task_id group by t.account, t.mode;

-- What an operator did to a task, written with what he did.
create table intervention (
    id blob primary key,
    task_id blob not null references task (id),
    at bigint not null,
    -- A key's id, or 'operator'.
    actor text not null,
    -- The id of the request that asked for it.
    request text not null,
    -- 'requeue', 'force requeue', 'cancel'.
    action text not null
);
create index intervention_task on intervention (task_id, id);
