-- People who sign in. What they own is billing's and others'; here is who they are.
create table person (
    id blob primary key,
    -- In lower case: what somebody signs in by.
    email text not null,
    name text not null,
    -- Argon2id, as PHC strings write it. Null: a person without a password.
    password text,
    -- When the address was confirmed. Null: not yet.
    confirmed_at bigint,
    -- 1: may see and do what operators may.
    operator bigint not null,
    created_at bigint not null
);
create unique index person_email on person (email);

-- What an account is called here, and since when people use it.
create table workspace (
    account_id blob primary key,
    name text not null,
    created_at bigint not null
);

-- Who may use an account, and how much of it.
create table membership (
    account_id blob not null,
    person_id blob not null,
    -- 'owner', 'member' or 'viewer'.
    role text not null,
    created_at bigint not null,
    primary key (account_id, person_id)
);
create index membership_person on membership (person_id, created_at);

-- Browsers that are signed in. What a browser keeps cannot be computed from what is here.
create table session (
    -- A keyed MAC of what the cookie says.
    mac blob primary key,
    person_id blob not null,
    -- What is looked at.
    account_id blob not null,
    mode text not null,
    created_at bigint not null,
    -- When it was last used, to about a minute.
    seen_at bigint not null,
    -- When it ends, used or not.
    ends_at bigint not null
);
create index session_person on session (person_id);
create index session_end on session (ends_at);
