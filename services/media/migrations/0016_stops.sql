-- Of a run whose provider was asked to stop it: what that answered ('asked', 'stopped', 'too_late', 'impossible'), and when; null: it was
-- not asked, or has not answered.
alter table attempt add column stop text;
alter table attempt add column stop_at bigint;
