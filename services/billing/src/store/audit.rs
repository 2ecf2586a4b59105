//! What the audit asks of the whole database. Each statement comes to one figure; in a check, anything but zero is a breach.

use std::time::Duration;

use sqlx::AnyConnection;

use crate::Error;

/// A question about the whole database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// What must be zero.
pub(crate) const CHECKS: &[Question] = &[
    Question {
        name: "entries_sum_to_zero",
        sql: "select cast(coalesce(sum(amount), 0) as bigint) from entry",
    },
    Question {
        name: "entries_of_each_cause_sum_to_zero",
        sql: "select count(*) from (select cause from entry group by cause, mode having sum(amount) <> 0) as breach",
    },
    Question {
        name: "balances_equal_entries",
        sql: "select count(*) from balance left join
                (select account, mode, sum(amount) as total from entry group by account, mode) as booked
                on booked.account = balance.account and booked.mode = balance.mode
              where balance.posted <> coalesce(booked.total, 0)",
    },
    Question {
        name: "held_equals_open_holds",
        sql: "select count(*) from balance left join
                (select account, mode, sum(granted) as total, count(*) as holds from hold where state = 'open'
                 group by account, mode) as running
                on running.account = balance.account and running.mode = balance.mode
              where balance.held <> coalesce(running.total, 0) or balance.open_holds <> coalesce(running.holds, 0)",
    },
    Question {
        name: "no_hold_without_balance",
        sql: "select count(*) from hold left join balance
                on balance.account = hold.account and balance.mode = hold.mode
              where hold.state <> 'tombstone' and balance.account is null",
    },
    Question {
        name: "orders_equal_transfers",
        sql: "select count(*) from
                (select account, sum(credited - reversed) as total from purchase group by account) as ordered
                left join (select account, sum(amount) as total from transfer where actor = 'stripe' group by account) as booked
                on booked.account = ordered.account
              where ordered.total <> coalesce(booked.total, 0)",
    },
    Question {
        name: "redemptions_booked",
        sql: "select count(*) from redemption left join transfer on transfer.id = redemption.transfer
              where transfer.id is null",
    },
    Question {
        name: "no_negative_available",
        sql: "select count(*) from balance where held < 0 or posted - held < 0",
    },
    Question {
        name: "captures_within_holds",
        sql: "select count(*) from hold
              where captured < 0 or captured > granted or (captured <> 0 and state <> 'captured' and state <> 'late')",
    },
    Question {
        name: "write_offs_booked_exactly_once",
        sql: "select count(*) from
                (select id, sum(lost) as lost, sum(booked) as booked from
                   (select id, written_off as lost, 0 as booked from hold where written_off <> 0
                    union all
                    select cause, 0, -amount from entry where kind = 'write_off' and amount < 0) as side
                 group by id) as loss
              where lost <> booked",
    },
    Question {
        name: "budgets_equal_their_holds",
        sql: "select count(*) from budget left join
                (select key, sum(case when state = 'open' then granted else 0 end) as held, sum(captured) as spent
                 from hold where budgeted = 1 group by key) as counted on counted.key = budget.key
              where budget.held <> coalesce(counted.held, 0) or budget.spent_total <> coalesce(counted.spent, 0)",
    },
    Question {
        name: "captures_booked_exactly_once",
        sql: "select count(*) from
                (select id, sum(captured) as charged, sum(booked) as booked, max(known) as known from
                   (select id, captured, 0 as booked, 1 as known from hold where captured <> 0
                    union all
                    select cause, 0, -amount, 0 from entry where kind = 'capture' and amount < 0) as side
                 group by id) as charge
              where charged <> booked or known = 0",
    },
    Question {
        name: "transfers_booked_exactly_once",
        sql: "select count(*) from
                (select id, sum(amount) as ordered, sum(booked) as booked from
                   (select id, amount, 0 as booked from transfer
                    union all
                    select entry.cause, 0, entry.amount from entry join balance
                      on balance.account = entry.account and balance.mode = entry.mode
                    where entry.kind = 'top_up' or entry.kind = 'adjustment') as side
                 group by id) as booking
              where ordered <> booked",
    },
];

/// Chat holds that are open long past their moment. `$1`: the moment before which a hold should have expired.
pub(crate) const STUCK: Question = Question {
    name: "no_stuck_holds",
    sql: "select count(*) from hold where state = 'open' and kind = 'chat' and expires_at < $1",
};

/// What is told beside the checks.
pub(crate) const FIGURES: &[Question] = &[
    Question {
        name: "accounts",
        sql: "select count(*) from account",
    },
    Question {
        name: "holds",
        sql: "select count(*) from hold",
    },
    Question {
        name: "open_holds",
        sql: "select cast(coalesce(sum(open_holds), 0) as bigint) from balance",
    },
    Question {
        name: "entries",
        sql: "select count(*) from entry",
    },
    Question {
        name: "endings",
        sql: "select count(*) from ending",
    },
];

/// Lets each statement of this transaction run this long (PostgreSQL).
pub(crate) async fn patience(
    connection: &mut AnyConnection,
    timeout: Duration,
) -> Result<(), Error> {
    sqlx::query("select set_config('statement_timeout', $1, true)")
        .bind(timeout.as_millis().to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Asks for one figure.
pub(crate) async fn ask(
    connection: &mut AnyConnection,
    question: Question,
    moment: Option<i64>,
) -> Result<i64, Error> {
    let query = sqlx::query_scalar(question.sql);
    let query = match moment {
        Some(moment) => query.bind(moment),
        None => query,
    };
    Ok(query.fetch_one(connection).await?)
}
