-- Customers' own labels of operations (`user`, `metadata`): which operations have one, and what those come to by day. A label is kept
-- here by the first 16 bytes of the SHA-256 of its name, a zero byte and its value. Made behind the ledger, with `operation`.
create table operation_tag (
    account blob not null,
    mode text not null,
    tag blob not null,
    operation blob not null,
    primary key (account, mode, tag, operation)
) without rowid;

-- `usage_day`, of the operations with one label.
create table usage_tag_day (
    account blob not null,
    mode text not null,
    tag blob not null,
    day bigint not null,
    key blob not null,
    model text not null,
    route text not null,
    operations bigint not null,
    free bigint not null,
    charged bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    primary key (account, mode, tag, day, key, model, route)
) without rowid;
