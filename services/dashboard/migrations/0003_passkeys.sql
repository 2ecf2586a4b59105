-- Keys of people's devices that sign them in. What is here is public: it checks what a device signs, and signs nothing.
create table passkey (
    -- What it is called in the list of somebody's passkeys.
    id blob primary key,
    -- What the device calls it.
    credential_id blob not null,
    person_id blob not null,
    -- As its person calls it.
    name text not null,
    -- What checks its signatures, as JSON of webauthn-rs.
    public_key text not null,
    -- How often the device said that it had signed when it last signed somebody in; 0: it does not count, or never did.
    counter bigint not null,
    created_at bigint not null,
    -- When it last signed somebody in. Null: never.
    used_at bigint
);
create unique index passkey_credential on passkey (credential_id);
create index passkey_person on passkey (person_id, created_at);

-- What a device is asked to sign, until it has or its time is over.
create table passkey_challenge (
    -- A keyed MAC of whose browser it is for: of its session, or of a cookie where somebody signs in.
    mac blob primary key,
    -- What was asked for, as JSON of webauthn-rs.
    state text not null,
    ends_at bigint not null
);
create index passkey_challenge_end on passkey_challenge (ends_at);
