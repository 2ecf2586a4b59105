-- Forms that make something, as they were sent, and what they were answered: the same form sent again makes nothing, and is answered the same.
create table sent_form (
    -- A keyed MAC of the browser's session, the path and all that the form says.
    mac blob primary key,
    -- Of the session: what its table knows it by.
    session blob not null,
    -- The answer, sealed. Null: the form is worked on, or whoever did so has died.
    answer blob,
    ends_at bigint not null
);
create index sent_form_session on sent_form (session, ends_at);
create index sent_form_end on sent_form (ends_at);
