//! The ledger's two hot statements as SQLite understands them. Many rows travel as one JSON text each way, because what costs
//! is the trip to the database's thread and back, not the row (measured: a statement per row costs 2 to 4 times as much, and
//! so does a row of a result). Ids travel in hex. PostgreSQL's twins would take arrays (`unnest`) and lock what they load.

/// Loads what a batch names, as one row of three lists: holds, balances, transfers.
/// $1: holds, `["id", …]`; $2: balances, `[["account", "mode"], …]`; $3: transfers, `["id", …]`.
/// The balances of the holds are loaded as well.
pub(super) const LOAD: &str = "
    with named (id) as materialized (select unhex(value) from json_each($1))
    select
      (select json_group_array(json_array(hex(id), nullif(hex(account), ''), mode, state, amount, floor, granted, captured,
                                          price_version, expires_at))
       from hold where id in (select id from named)),
      (select json_group_array(json_array(hex(account), mode, posted, held, open_holds))
       from balance where (account, mode) in
         (select unhex(value ->> 0), value ->> 1 from json_each($2)
          union select account, mode from hold where id in (select id from named))),
      (select json_group_array(json_array(hex(id), hex(account), mode, amount, actor, reason))
       from transfer where id in (select unhex(value) from json_each($3)))";

/// Writes what a batch comes to: seven statements, one trip. $8: now.
/// The busiest lists hold packed lines, cut at fixed places: that is twice as fast as JSON within JSON. Numbers are 20
/// characters wide; a column's type makes them integers.
/// $1: new holds: id (32), account (32), mode (4), kind (5), state (9), amount, floor, granted, captured, expires_at or
/// blanks, price_version.
/// $2: holds that were open and are closed: id (32), captured, state.
/// $3: tombstones, `["id", …]`.
/// $4: transfers, `[["id", "account", "mode", amount, "actor", "reason"], …]`.
/// $5: postings: cause (32), account (32), platform account (32), mode (4), amount, kind; two entries for each, side by side.
/// $6: balances, `[["account", "mode", posted, held, open_holds], …]`.
/// $7: receipts: operation (32), body; the first of an operation stays.
pub(super) const WRITE: &str = "
    insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, expires_at, price_version,
                      closed_at, created_at)
    select unhex(substr(value, 1, 32)), unhex(substr(value, 33, 32)), substr(value, 65, 4),
           rtrim(substr(value, 69, 5)), rtrim(substr(value, 74, 9)), substr(value, 83, 20), substr(value, 103, 20),
           substr(value, 123, 20), substr(value, 143, 20), nullif(rtrim(substr(value, 163, 20)), ''),
           substr(value, 183), iif(substr(value, 74, 4) = 'open', null, $8), $8
    from json_each($1);

    update hold set captured = substr(change.value, 33, 20), state = substr(change.value, 53), closed_at = $8
    from json_each($2) as change
    where hold.id = unhex(substr(change.value, 1, 32)) and hold.state = 'open';

    insert into hold (id, state, amount, floor, granted, captured, price_version, closed_at, created_at)
    select unhex(value), 'tombstone', 0, 0, 0, 0, '', $8, $8 from json_each($3);

    insert into transfer (id, account, mode, amount, actor, reason, created_at)
    select unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, $8
    from json_each($4);

    insert into entry (cause, kind, account, mode, amount, created_at)
    select unhex(substr(value, 1, 32)), substr(value, 121), unhex(substr(value, side.place, 32)), substr(value, 97, 4),
           substr(value, 101, 20) * side.sign, $8
    from json_each($5) cross join (select 33 as place, 1 as sign union all select 65, -1) as side;

    update balance set posted = change.value ->> 2, held = change.value ->> 3, open_holds = change.value ->> 4
    from json_each($6) as change
    where balance.account = unhex(change.value ->> 0) and balance.mode = change.value ->> 1;

    insert into receipt (operation, body, created_at)
    select unhex(substr(value, 1, 32)), substr(value, 33), $8 from json_each($7) where true
    on conflict do nothing";
