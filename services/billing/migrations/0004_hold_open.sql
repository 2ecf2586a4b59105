-- Every open hold, not only those of chats: how many there are is asked again and again. A media hold never expires, and
-- stands there with a null.
drop index hold_due;
create index hold_open on hold (expires_at) where state = 'open';
