-- Deliveries that were given up, of everybody, the newest first: what operators look at.
create index delivery_dead_newest on delivery (id) where state = 'dead';
