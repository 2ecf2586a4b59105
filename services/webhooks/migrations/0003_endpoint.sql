-- URLs that accounts have registered: each is told the events it asks for, whatever they are about.
create table endpoint (
    id blob primary key,
    account_id blob not null,
    -- 'test' or 'live': whose events.
    mode text not null,
    -- Sealed for 'endpoint/{id}/url'.
    url blob not null,
    -- The types it is told, a space between; '' means all.
    events text not null,
    -- 'whsec_' and base64; sealed for 'endpoint/{id}/secret'.
    secret blob not null,
    created_at bigint not null
);
create index endpoint_owner on endpoint (account_id, mode, id);
-- Which endpoint a delivery is for: its secret signs. Null: a URL that a request named.
alter table delivery add column endpoint_id blob;
