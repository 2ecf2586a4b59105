-- Customers' own labels of operations (`user`, `metadata`): which operations have one, and what those come to by day. A label is kept
-- here by the first 16 bytes of the SHA-256 of its name, a zero byte and its value. Made behind the ledger, with `operation`.
create table operation_tag (
    account bytea not null,
    mode text collate "C" not null,
    tag bytea not null,
    operation bytea not null,
    primary key (account, mode, tag, operation)
);

-- `usage_day`, of the operations with one label.
create table usage_tag_day (
    account bytea not null,
    mode text collate "C" not null,
    tag bytea not null,
    day bigint not null,
    key bytea not null,
    model text collate "C" not null,
    route text collate "C" not null,
    operations bigint not null,
    free bigint not null,
    charged bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    primary key (account, mode, tag, day, key, model, route)
) with (fillfactor = 70);
