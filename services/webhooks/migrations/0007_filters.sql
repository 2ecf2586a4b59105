-- Deliveries are listed by whose they are, the newest first: those of one endpoint, and those that have not ended, which are few among
-- many that have.
create index delivery_endpoint on delivery (endpoint_id, id) where endpoint_id is not null;
create index delivery_open on delivery (account_id, mode, id) where state in ('due', 'inflight');
