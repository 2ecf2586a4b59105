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
    created_at bigint not null,
    -- When billing said that it has the account. Null: that is still to be asked for, by the id that is here.
    opened_at bigint
);
create index workspace_unopened on workspace (created_at) where opened_at is null;

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
    -- What it is called in the list of somebody's sessions.
    id blob not null,
    person_id blob not null,
    -- What is looked at.
    account_id blob not null,
    mode text not null,
    -- The browser and its system, in a few words.
    device text not null,
    created_at bigint not null,
    -- When it was last used, to about a minute.
    seen_at bigint not null,
    -- When it ends, used or not.
    ends_at bigint not null
);
create index session_person on session (person_id);
create index session_end on session (ends_at);
create index session_seen on session (seen_at);

-- What a link does once: confirm an address, set a new password. And links that operators made and that were used, so that they are not again.
create table email_token (
    -- A keyed MAC of what the link says.
    mac blob primary key,
    -- 'confirm', 'reset' or 'used'.
    purpose text not null,
    -- Null: nobody's.
    person_id blob,
    -- The address to confirm; empty: none.
    email text not null,
    ends_at bigint not null
);
create index email_token_person on email_token (person_id);
create index email_token_end on email_token (ends_at);

-- Who is asked to use an account.
create table invite (
    -- A keyed MAC of what the link says.
    mac blob primary key,
    id blob not null,
    account_id blob not null,
    email text not null,
    role text not null,
    created_at bigint not null,
    ends_at bigint not null
);
create unique index invite_id on invite (id);
create unique index invite_email on invite (account_id, email);
create index invite_end on invite (ends_at);

-- What people did here: the part of an account's audit log that billing does not see.
create table act (
    id blob primary key,
    account_id blob not null,
    person_id blob not null,
    -- Such as 'member.invite'.
    what text not null,
    -- To whom or what; empty: to themselves.
    subject text not null,
    created_at bigint not null
);
create index act_account on act (account_id, id);
create index act_created on act (created_at);

-- How many signed up out of a network within an hour or a day.
create table sign_up_count (
    -- A keyed MAC of the network.
    network blob not null,
    -- Microseconds UTC: when the hour or the day ends.
    ends_at bigint not null,
    count bigint not null,
    primary key (network, ends_at)
);
create index sign_up_count_end on sign_up_count (ends_at);
