-- Entries and transfers are never changed and never removed: a correction is a new entry. (SQLite's way to say it.)
create trigger entry_is_not_updated before update on entry
begin select raise(abort, 'entries are append-only'); end;
create trigger entry_is_not_deleted before delete on entry
begin select raise(abort, 'entries are append-only'); end;
create trigger transfer_is_not_updated before update on transfer
begin select raise(abort, 'transfers are append-only'); end;
create trigger transfer_is_not_deleted before delete on transfer
begin select raise(abort, 'transfers are append-only'); end;
