-- How many attempts per second may begin to an endpoint, of all processes together. Null: as fast as they come.
alter table endpoint add column per_second bigint;
-- Whom it is for: the id of an endpoint; for a URL that a request named, account, mode and origin. Null: written by an earlier
-- version, and found by the repair.
alter table delivery add column lane_id blob;

-- Those who take turns: a lane has what waits for one endpoint, or for one account's URLs at one origin. All of it but `timeouts`,
-- `slow` and `rate_at` follows from `delivery`, and is repaired from there. An origin whose attempts timed out has a row of its own,
-- whose id is the origin.
create table lane (
    id blob primary key,
    -- As in `delivery`.
    origin blob not null,
    -- Whose rate is kept; null: nobody's.
    endpoint_id blob,
    -- When to look at it: something is due then, and may perhaps be started. Null: nothing waits.
    next_at bigint,
    -- When the endpoint's rate lets the next attempt begin.
    rate_at bigint not null,
    -- Attempts in a row that timed out.
    timeouts bigint not null,
    -- 1: they were so many that it has one place, among the slow.
    slow bigint not null,
    -- 1: it or its origin had something in flight when it was looked at, and nothing of it has ended since. Others come first.
    busy bigint not null,
    -- Why what is due is not started. 0: it is; 1: all places of the lane are taken; 2: all places of its origin.
    blocked bigint not null
);
create index lane_next on lane (slow, busy, next_at, id) where next_at is not null;
create index lane_held on lane (origin, next_at) where blocked = 2;

drop index delivery_due;
create index delivery_waiting on delivery (lane_id, due_at, id) where state = 'due';
create index delivery_busy on delivery (lane_id) where state = 'inflight';
create index delivery_laneless on delivery (id) where lane_id is null and state in ('due', 'inflight');
