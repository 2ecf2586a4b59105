-- Pages of operations that did not end by a capture, the newest first: few among many, so that they have an index of their own.
create index operation_outcome on operation (account, mode, outcome, id) where outcome <> 'captured';
