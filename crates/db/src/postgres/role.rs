//! The role a service signs in as: it may read and write rows of its schema, and not change what the schema is.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chassis::config::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, query_scalar};

use crate::{Error, Schema};

/// PostgreSQL's own default for the rounds of a SCRAM password.
const ROUNDS: u32 = 4096;
/// How often a change of a role is tried: roles belong to the whole server, and of two changes at once one is refused.
const TRIES: u32 = 5;

/// Makes the role if it is missing, sets its password if one is given, and grants it what it needs and no more.
///
/// # Errors
/// When the server refuses, or the password cannot be used.
pub(super) async fn provide(connection: &mut AnyConnection, schema: &Schema) -> Result<(), Error> {
    create(connection, &schema.role).await?;
    if let Some(password) = &schema.role_password {
        let verifier = verifier(password)?;
        let set = format!("alter role {} login password '{verifier}'", schema.role);
        change(connection, &set).await?;
    }
    // One text is one transaction: there is no moment at which the role may do more than it should.
    connection.execute(AssertSqlSafe(grants(schema))).await?;
    Ok(())
}

async fn create(connection: &mut AnyConnection, role: &str) -> Result<(), Error> {
    let there: i64 = query_scalar("select count(*) from pg_roles where rolname = $1")
        .bind(role.to_owned())
        .fetch_one(&mut *connection)
        .await?;
    if there > 0 {
        return Ok(());
    }
    // Somebody who migrates another database of the same server may be faster.
    let create = format!(
        "do $$ begin create role {role} login;
         exception when duplicate_object or unique_violation then null; end $$"
    );
    change(connection, &create).await
}

/// Changes a role. PostgreSQL has no lock for that: the slower of two is told that the row changed under it.
async fn change(connection: &mut AnyConnection, statement: &str) -> Result<(), Error> {
    let mut tries = TRIES;
    loop {
        tries = tries.saturating_sub(1);
        let changed = connection
            .execute(AssertSqlSafe(statement.to_owned()))
            .await;
        match changed.map_err(Error::from) {
            Ok(_) => return Ok(()),
            Err(error) if tries > 0 && error.state().as_deref() == Some("XX000") => {}
            Err(error) => return Err(error),
        }
    }
}

fn grants(schema: &Schema) -> String {
    let (name, role) = (schema.name, &schema.role);
    let mut grants = format!(
        "revoke all on schema {name} from public;
         grant usage on schema {name} to {role};
         grant select, insert, update, delete on all tables in schema {name} to {role};
         grant usage, select on all sequences in schema {name} to {role};
         alter default privileges in schema {name} grant select, insert, update, delete on tables to {role};
         alter default privileges in schema {name} grant usage, select on sequences to {role};
         revoke insert, update, delete on {name}._sqlx_migrations from {role};"
    );
    for table in schema.append_only {
        // Writing to a String cannot fail.
        let _ = write!(
            grants,
            " revoke update, delete on {name}.{table} from {role};"
        );
    }
    grants
}

/// What PostgreSQL keeps of a password (RFC 5803), made here, so that the password is in no statement and no server's log.
fn verifier(password: &Secret) -> Result<String, Error> {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    verifier_with(password, &salt)
}

fn verifier_with(password: &Secret, salt: &[u8]) -> Result<String, Error> {
    let password = password.expose();
    // Others would have to be normalised first, by both sides alike.
    if password.is_empty() || !password.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Setting(
            "database.passwords are printable ASCII without spaces",
        ));
    }
    let mut block = hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]]);
    let mut salted = block;
    for _ in 1..ROUNDS {
        block = hmac(password.as_bytes(), &[&block]);
        for (sum, byte) in salted.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    let stored = Sha256::digest(hmac(&salted, &[b"Client Key"]));
    let server = hmac(&salted, &[b"Server Key"]);
    Ok(format!(
        "SCRAM-SHA-256${ROUNDS}:{}${}:{}",
        BASE64.encode(salt),
        BASE64.encode(stored),
        BASE64.encode(server)
    ))
}

/// HMAC-SHA256 over parts. HMAC takes keys of any length, so nothing can go wrong.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3: "pencil", with its salt and as many rounds.
    #[test]
    fn a_verifier_is_what_the_standard_says() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = verifier_with(&Secret::new("pencil"), &salt).unwrap();
        assert_eq!(
            verifier,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn a_password_that_would_have_to_be_normalised_is_refused() {
        for password in ["", "with space", "schlüssel"] {
            assert!(verifier(&Secret::new(password)).is_err(), "{password}");
        }
    }
}
