//! Rows as they were written at earlier versions of each schema, and what must be true of them at this one.

/// The rows that a store is given: once it has come to a version, these statements. `{1}` stands for an id that ends with 1,
/// `{now}` for the moment.
pub(super) type Rows = &'static [(i64, &'static str)];

/// What must be true at the end, if the store began with rows of this version or came past it: a question, and its answer.
pub(super) type Truths = &'static [(i64, &'static str, i64)];

/// An account with a transfer, a charge, an open media hold and a hold that was released before it came; since there are budgets,
/// a key with one; since there are operations, the one of the charge; a lot, a code, a list of prices, somebody's act.
pub(super) const BILLING: Rows = &[
    (
        2,
        "insert into account (id, name, created_at) values ({1}, 'A', {now});
         insert into balance (account, mode, posted, held, open_holds) values ({1}, 'test', 95000000, 3000000, 1);
         insert into balance (account, mode, posted, held, open_holds) values ({1}, 'live', 0, 0, 0);
         insert into transfer (id, account, mode, amount, actor, reason, created_at)
             values ({2}, {1}, 'test', 100000000, 'operator', 'a gift', {now});
         insert into entry (cause, kind, account, mode, amount, created_at) values
             ({2}, 'top_up', {1}, 'test', 100000000, {now}),
             ({2}, 'top_up', {issued}, 'test', -100000000, {now}),
             ({3}, 'capture', {1}, 'test', -5000000, {now}),
             ({3}, 'capture', {revenue}, 'test', 5000000, {now});
         insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, price_version, created_at,
                           expires_at, closed_at) values
             ({3}, {1}, 'test', 'chat', 'captured', 8000000, 1, 8000000, 5000000, 'v', {now}, {now}, {now}),
             ({4}, {1}, 'test', 'media', 'open', 3000000, 3000000, 3000000, 0, 'v', {now}, null, null),
             ({5}, null, null, null, 'tombstone', 0, 0, 0, 0, '', {now}, null, {now});
         insert into api_key (id, account, mode, name, mac, last_four, scopes, models, ip_allow, rpm, concurrency, created_at,
                              expires_at, revoked_at)
             values ({6}, {1}, 'test', 'key', {6}, 'abcd', '[\"inference\"]', '[]', '[]', 0, 0, {now}, null, null);",
    ),
    (
        5,
        "insert into budget (key, account, mode, cap_day) values ({6}, {1}, 'test', 7000000);
         insert into operation (id, account, mode, key, route, model, provider, outcome, held, charged, written_off,
                                input_tokens, output_tokens, price_version, created_at, ended_at, ending)
             values ({3}, {1}, 'test', {6}, 'chat/completions', 'gemini', 'gemini', 'captured', 8000000, 5000000, 0, 1, 2, 'v',
                     {now}, {now}, 1);
         update progress set upto = 1 where job = 'operations';",
    ),
    (
        8,
        "insert into redeem_code (id, mac, last_four, mode, credits, max_uses, uses, actor, created_at)
             values ({7}, {7}, 'wxyz', 'live', 1000000, 3, 0, 'operator', {now});",
    ),
    (
        9,
        "insert into price_list (version, body, created_at) values ('v', 'body', {now});",
    ),
    (
        11,
        "insert into audit_log (id, account, mode, actor, request, action, subject, detail, created_at)
             values ({8}, {1}, 'test', 'operator', '', 'created', 'acct', '', {now});",
    ),
];

pub(super) const BILLING_TRUTHS: Truths = &[
    (2, "select count(*) from entry", 4),
    (
        2,
        "select posted from balance where mode = 'test'",
        95_000_000,
    ),
    (2, "select held from balance where mode = 'test'", 3_000_000),
    (
        2,
        "select count(*) from hold where state = 'open' and granted = 3000000 and written_off = 0",
        1,
    ),
    (2, "select count(*) from hold where state = 'tombstone'", 1),
    // What had ended has its ending, and is not told twice.
    (2, "select count(*) from ending", 1),
    (2, "select price_factor from account", 1_000_000),
    (
        2,
        "select count(*) from api_key where previous_mac is null and max_open_tasks = 0",
        1,
    ),
    (5, "select cap_day from budget", 7_000_000),
    // Work that was known before hours were summed up is summed up.
    (
        5,
        "select charged from served_hour where model = 'gemini' and operations = 1",
        5_000_000,
    ),
    (8, "select max_uses from redeem_code", 3),
    (9, "select count(*) from price_list", 1),
    (11, "select count(*) from audit_log", 1),
];

/// A task that has completed, with its run and its file, and one that has failed; what waits to be told; since there are uploads,
/// a file of a customer's; since operators act, an intervention.
pub(super) const MEDIA: Rows = &[
    (
        2,
        "insert into task (id, account, mode, route, model, state, version, request, body_hash, held, charged, price_version,
                           attempts, provider, job, due_at, created_at, started_at, completed_at, deadline_at) values
             ({1}, {9}, 'test', 'images/generations', 'flux-2', 'completed', 4, {9}, {9}, 5000000, 5000000, 'v', 1, 'bfl', 'j',
              {now}, {now}, {now}, {now}, {now}),
             ({2}, {9}, 'test', 'images/generations', 'flux-2', 'failed', 3, {9}, {8}, 5000000, 0, 'v', 0, null, null,
              {now}, {now}, null, {now}, {now});
         insert into attempt (task_id, number, provider, outcome, submitted_at) values ({1}, 1, 'bfl', 'succeeded', {now});
         insert into output (task_id, number, content_type, bytes, sha256, expires_at)
             values ({1}, 0, 'image/png', 70, 'ab', 4000000000000000);
         insert into output (task_id, number, content_type, bytes, sha256, expires_at)
             values ({1}, 1, 'image/png', 30, 'cd', 4000000000000000);
         insert into outbox (id, topic, subject, payload, created_at, due_at, attempts, claimed_until)
             values ({3}, 'a topic of nobody', {1}, {9}, {now}, {now}, 0, 0);",
    ),
    (
        7,
        "insert into upload (id, account, mode, state, filename, bytes, created_at, expires_at, due_at)
             values ({4}, {9}, 'live', 'kept', {9}, 12, {now}, 4000000000000000, 4000000000000000);
         insert into upload_room (account, mode, files, bytes) values ({9}, 'live', 1, 12);",
    ),
    (
        12,
        "insert into intervention (id, task_id, at, actor, request, action) values ({5}, {2}, {now}, 'operator', '', 'cancel');",
    ),
];

pub(super) const MEDIA_TRUTHS: Truths = &[
    (
        2,
        "select count(*) from task where claims = 0 and price = '' and trace = '' and line = '' and key_id is null",
        2,
    ),
    (
        2,
        "select charged from task where state = 'completed'",
        5_000_000,
    ),
    (
        2,
        "select count(*) from attempt where looks = 0 and reason = '' and stop is null",
        1,
    ),
    (
        2,
        "select count(*) from output where duration_millis is null and about is null",
        2,
    ),
    (2, "select count(*) from outbox where trace = ''", 1),
    // Room that was taken before it was counted is counted.
    (
        2,
        "select bytes from output_room where mode = 'test' and files = 2",
        100,
    ),
    (
        7,
        "select bytes from upload where parts is null and width is null",
        12,
    ),
    (12, "select count(*) from intervention", 1),
];

/// An event and what became of it, a secret; since there are endpoints, one; since attempts are kept, one.
pub(super) const WEBHOOKS: Rows = &[
    (
        1,
        "insert into event (id, account_id, mode, task_id, type, payload, created_at)
             values ({1}, {9}, 'test', {2}, 'task.completed', {9}, {now});
         insert into delivery (id, event_id, url, origin, state, attempts, claims, due_at, lease_until, last_status, created_at,
                               ended_at)
             values ({3}, {1}, {9}, {9}, 'delivered', 1, 1, {now}, 0, 200, {now}, {now});
         insert into callback_secret (account_id, mode, secret, created_at) values ({9}, 'test', {9}, {now});",
    ),
    (
        3,
        "insert into endpoint (id, account_id, mode, url, events, secret, created_at)
             values ({4}, {9}, 'live', {9}, '[]', {9}, {now});",
    ),
    (
        6,
        "insert into delivery_attempt (delivery_id, number, replay, started_at, ended_at, status)
             values ({3}, 1, 0, {now}, {now}, 200);",
    ),
];

pub(super) const WEBHOOKS_TRUTHS: Truths = &[
    (1, "select count(*) from event where trace = ''", 1),
    (
        1,
        "select last_status from delivery where state = 'delivered' and replays = 0 and endpoint_id is null",
        200,
    ),
    (
        1,
        "select count(*) from callback_secret where old_until = 0",
        1,
    ),
    (
        3,
        "select count(*) from endpoint where signature = 'v1' and disabled_at is null and failures = 0",
        1,
    ),
    (6, "select status from delivery_attempt", 200),
];

pub(super) const CHAT: Rows = &[
    (
        1,
        "insert into replay (account, mode, route, key_hash, body_hash, state, operation, locked_until, answer, charged,
                             created_at, expires_at)
             values ({9}, 'test', 'chat/completions', {1}, {1}, 'done', {2}, 0, {9}, 7, {now}, 4000000000000000);",
    ),
    (
        2,
        "insert into response (account, mode, operation, created_at, expires_at)
             values ({9}, 'test', {3}, {now}, 4000000000000000);
         insert into response_room (account, mode, bytes) values ({9}, 'test', 11);",
    ),
];

pub(super) const CHAT_TRUTHS: Truths = &[
    (1, "select charged from replay where state = 'done'", 7),
    (2, "select count(*) from response", 1),
    (2, "select bytes from response_room", 11),
];

pub(super) const DASHBOARD: Rows = &[(
    1,
    "insert into person (id, email, name, operator, created_at) values ({1}, 'a@b.example', 'A', 0, {now});
     insert into workspace (account_id, name, created_at, opened_at) values ({9}, 'A', {now}, {now});
     insert into membership (account_id, person_id, role, created_at) values ({9}, {1}, 'owner', {now});",
)];

pub(super) const DASHBOARD_TRUTHS: Truths = &[
    (
        1,
        "select count(*) from person where email = 'a@b.example'",
        1,
    ),
    (1, "select count(*) from membership where role = 'owner'", 1),
];
