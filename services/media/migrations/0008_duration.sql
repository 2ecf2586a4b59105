-- How long a video or a sound lasts, in milliseconds; null of a picture, and where it could not be read.
alter table output add column duration_millis bigint;
