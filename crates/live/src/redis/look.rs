//! Looking at a Redis without using it, but for the probe that every connection begins with: for who asks what is wrong.

use domain::Secret;
use redis::Script;

use super::{Config, link};

/// How long what the probe writes stays.
const PROBE_LIFE_MILLIS: u64 = 60_000;

/// What a Redis says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its version, if it may be asked: `7.0.15`.
    pub version: Option<String>,
    /// What it does when its memory is full, if it may be asked: `noeviction`.
    pub policy: Option<String>,
}

/// Looks at the Redis of `url`: whether it is there, takes writes and runs scripts, and what it is.
///
/// # Errors
/// In words for people: the address is none, nobody answers there, or it refuses what is needed.
pub async fn look(url: &Secret, config: &Config) -> Result<Look, String> {
    let dialer = link::Dialer::new(url.expose(), config).map_err(|error| error.to_string())?;
    let said = |error: redis::RedisError| link::reason(&error);
    let mut dialed = dialer.dial().await.map_err(said)?;
    let connection = &mut dialed.connection;
    let () = Script::new(include_str!("probe.v1.lua"))
        .prepare_invoke()
        .arg(PROBE_LIFE_MILLIS)
        .key(format!("{}:probe", config.prefix))
        .invoke_async(connection)
        .await
        .map_err(said)?;
    // Its user needs no right to ask this.
    let asked: Result<String, _> = redis::cmd("INFO").query_async(connection).await;
    let told = asked.unwrap_or_default();
    Ok(Look {
        version: field(&told, "redis_version"),
        policy: field(&told, "maxmemory_policy"),
    })
}

/// A field of what `INFO` answers.
fn field(told: &str, name: &str) -> Option<String> {
    let mut lines = told.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(field, _)| *field == name)?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let told = "# Server\r\nredis_version:7.0.15\r\nredis_version_x:1\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(field(told, "redis_version").as_deref(), Some("7.0.15"));
        assert_eq!(
            field(told, "maxmemory_policy").as_deref(),
            Some("noeviction")
        );
        assert_eq!(field(told, "policy"), None);
        assert_eq!(field("", "redis_version"), None);
    }
}
