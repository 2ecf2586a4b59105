-- Pages of tasks, the newest first: of an account, of those that stand somewhere, and of a model.
create index task_list on task (account, mode, id);
create index task_state on task (account, mode, state, id);
create index task_model on task (account, mode, model, id);
create index task_model_state on task (account, mode, model, state, id);
