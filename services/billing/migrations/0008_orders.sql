-- Orders, their payments and their refunds, and redeem codes. Amounts are micro-credits, but for those of money, which are minor
-- units of the order's currency (cents). Stripe's ids are texts. The rules are in src/orders/state.rs; no check should ever fire.

-- A pack of live credit that somebody buys, with what was promised when it was ordered.
create table purchase (
    id blob primary key not null,
    account blob not null references account (id),
    -- Made of the client's Idempotency-Key; null without one.
    request blob,
    pack text not null,
    name text not null,
    credits bigint not null constraint purchase_credits_positive check (credits > 0),
    price bigint not null constraint purchase_price_positive check (price > 0),
    currency text not null,
    -- Stripe's page for it: the session's id and its address. Null until Stripe has made them.
    session text constraint purchase_session unique,
    url text,
    -- Stripe's payment, once one is known.
    payment text constraint purchase_payment unique,
    -- How far the payment has come; it only goes forward.
    progress text not null
        constraint purchase_progress check (progress = 'open' or progress = 'processing' or progress = 'expired'
                                            or progress = 'failed' or progress = 'review' or progress = 'paid'),
    -- What Stripe says was received, refunded and is disputed.
    received bigint not null,
    refunded bigint not null,
    disputed bigint not null,
    -- What was booked: credit given, credit taken back of it, and what could not be taken back yet.
    credited bigint not null,
    reversed bigint not null,
    owed bigint not null,
    -- How many transfers were booked: the ids of transfers are made of it.
    bookings bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    constraint purchase_request unique (account, request),
    constraint purchase_credited_once check (credited = 0 or credited = credits),
    constraint purchase_reversed_within check (reversed >= 0 and owed >= 0 and reversed + owed <= credited)
) without rowid;
create index purchase_account on purchase (account, id);
-- What the collector looks for.
create index purchase_owed on purchase (account) where owed > 0;

-- A refund or a dispute of a payment, as Stripe last told it. Its state only goes forward: watched, taken, returned.
create table payment_reversal (
    id text primary key not null,
    purchase blob not null references purchase (id),
    kind text not null constraint payment_reversal_kind check (kind = 'refund' or kind = 'dispute'),
    amount bigint not null constraint payment_reversal_amount check (amount >= 0),
    state text not null
        constraint payment_reversal_state check (state = 'watched' or state = 'taken' or state = 'returned')
) without rowid;
create index payment_reversal_purchase on payment_reversal (purchase);

-- Events of Stripe's that were taken: each once.
create table payment_event (
    id text primary key not null,
    purchase blob not null,
    type text not null,
    created_at bigint not null
) without rowid;

-- Codes that are worth credit. The code itself is not here: only its keyed MAC, and the last four characters.
create table redeem_code (
    id blob primary key not null,
    mac blob not null constraint redeem_code_mac unique,
    last_four text not null,
    mode text not null constraint redeem_code_mode check (mode = 'test' or mode = 'live'),
    credits bigint not null constraint redeem_code_credits_positive check (credits > 0),
    max_uses bigint not null,
    uses bigint not null,
    actor text not null,
    created_at bigint not null,
    -- Null means never.
    expires_at bigint,
    revoked_at bigint,
    constraint redeem_code_uses_within check (uses >= 0 and uses <= max_uses)
) without rowid;

-- Who redeemed what: each account once per code.
create table redemption (
    code blob not null references redeem_code (id),
    account blob not null references account (id),
    -- The transfer that booked it.
    transfer blob not null,
    created_at bigint not null,
    primary key (code, account)
) without rowid;
