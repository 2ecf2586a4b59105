-- What an account pays of a price, in parts per million: whoever computes a price is told, and freezes it with what is accepted.
alter table account add column price_factor bigint not null default 1000000
    constraint account_price_factor check (price_factor > 0 and price_factor <= 10000000);

-- The text of every price list that something was ever held by, so that any receipt can be computed again. Append-only.
create table price_list (
    -- The first 16 hex digits of the SHA-256 of the text.
    version text collate "C" primary key not null,
    body text not null,
    created_at bigint not null
);

create trigger price_list_is_append_only before update or delete or truncate on price_list
for each statement execute function append_only();
