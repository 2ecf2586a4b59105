-- Keys complete: a rotated key's old secret, and open tasks. (What a key may spend is in 0005.) The twin of the SQLite text.

-- The secret before the last rotation, and until when it opens what the key opens.
alter table api_key add column previous_mac bytea;
alter table api_key add column previous_last_four text;
alter table api_key add column previous_until bigint;
-- Open media tasks; 0 means no limit but the account's.
alter table api_key add column max_open_tasks bigint not null default 0;
create unique index api_key_previous_mac on api_key (previous_mac) where previous_mac is not null;
