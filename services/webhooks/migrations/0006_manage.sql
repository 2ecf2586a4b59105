-- What customers say of an endpoint. The fixed headers of its requests: JSON, sealed for 'endpoint/{id}/headers'; null: none.
alter table endpoint add column headers blob;
-- What they call it; sealed for 'endpoint/{id}/description'; null: nothing.
alter table endpoint add column description blob;
-- How it is signed: 'v1', 'v1a' or 'both'.
alter table endpoint add column signature text not null default 'v1';
-- 'whsk_' and base64, an Ed25519 key; sealed for 'endpoint/{id}/secret'; null: it was never signed by one.
alter table endpoint add column signing_key blob;
-- What signed before the last rotation, sealed for the same place, and until when it signs as well.
alter table endpoint add column old_secret blob;
alter table endpoint add column old_signing_key blob;
alter table endpoint add column old_until bigint not null default 0;
-- Since when nothing is sent to it; null: it is enabled. And why: 'owner', 'gone' (it answered 410) or 'failing'.
alter table endpoint add column disabled_at bigint;
alter table endpoint add column disabled_reason text;
-- Since when it has its URL and is enabled: an attempt that began before says nothing of it.
alter table endpoint add column armed_at bigint not null default 0;
-- When the first of the attempts failed that have failed since the last success, and how many those are; null and 0: none.
alter table endpoint add column failing_since bigint;
alter table endpoint add column failures bigint not null default 0;
create index endpoint_disabled on endpoint (id) where disabled_at is not null;

-- What signed callbacks before the last rotation, sealed as the secret is, and until when it signs as well.
alter table callback_secret add column old_secret blob;
alter table callback_secret add column old_until bigint not null default 0;

-- Whose it is, as its event says: deliveries are listed by owner, the newest first. Null: written by an earlier version, and filled by
-- the repair, many rows at a time: a table that is written to is not to stand still for it.
alter table delivery add column account_id blob;
alter table delivery add column mode text;
-- How often it was sent again after its end.
alter table delivery add column replays bigint not null default 0;
create index delivery_ownerless on delivery (id) where account_id is null;
create index delivery_owner on delivery (account_id, mode, id);
create index delivery_dead on delivery (account_id, mode, id) where state = 'dead';
create index delivery_of_endpoint on delivery (endpoint_id) where state = 'due' and endpoint_id is not null;
create index event_created on event (created_at);
create index delivery_ended on delivery (ended_at) where ended_at is not null;

-- An attempt that has ended. One whose process died leaves none: nobody knows how it ended.
create table delivery_attempt (
    delivery_id blob not null references delivery (id) on delete cascade,
    -- Counted from 1, over replays.
    number bigint not null,
    -- Which replay it belongs to; 0: the first time.
    replay bigint not null,
    started_at bigint not null,
    ended_at bigint not null,
    -- The HTTP status; null: no answer.
    status bigint,
    -- Why it failed, in our words; null: it did not.
    error text,
    -- How the answer's body begins, as text; sealed for 'attempt/{delivery}/response'; null: it had none.
    response blob,
    primary key (delivery_id, number)
);
