-- What a provider knows of a file beside itself (an id, a title, which file is its picture), sealed; null where it knows nothing more.
alter table output add column about blob;
