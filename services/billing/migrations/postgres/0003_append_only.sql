-- Entries and transfers are never changed and never removed: a correction is a new entry. The role this service works as may
-- not do it either (it is granted neither update nor delete); these triggers hold the tables' owner to it as well.
create function append_only() returns trigger language plpgsql as
$$ begin raise exception '% is append-only', tg_table_name; end $$;

create trigger entry_is_append_only before update or delete or truncate on entry
for each statement execute function append_only();
create trigger transfer_is_append_only before update or delete or truncate on transfer
for each statement execute function append_only();
