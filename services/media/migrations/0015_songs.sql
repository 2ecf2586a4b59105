-- The earlier task that this one goes on from in a way that is open to one task alone; null: it does not, or it has failed.
alter table task add column once blob;
create unique index task_once on task (route, once) where once is not null;

-- What is known of the songs that it makes before they are there, JSON, sealed; null where nothing is.
alter table task add column clips blob;
