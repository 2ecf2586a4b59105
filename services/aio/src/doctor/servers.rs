//! Where the truth is, and whom a process needs: the files of the data directory, or PostgreSQL, RabbitMQ, Redis and the other roles.

use std::{future::Future, time::Duration};

use chassis::{
    Tasks,
    config::{Secret, Settings},
    rpc::{self, ClientLimits, PeersConfig},
};
use db::Migration;
use tokio::{net::TcpStream, time::timeout};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use url::Url;

use super::{Patient, report::Report};
use crate::stores::{self, STORES};

/// How long one server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far a clock may be from the database's: links and keys end by the one, leases by the other.
const FAR: i64 = 60_000_000;
const APART: i64 = 2_000_000;
/// What is shown to whoever is asked for its health: that takes no token.
const NOBODY: &str = "doctor";

/// Looks at the files of a data directory.
pub(super) fn files(patient: &Patient<'_>, report: &mut Report) {
    let name = "databases";
    let (mut there, mut older) = (Vec::new(), Vec::new());
    for store in stores::files() {
        let path = patient.data_dir.join(store.file());
        if !path.exists() {
            continue;
        }
        let needed = store.migrations.iter().map(|step| step.version).max();
        match db::standing(&path, store.migrations) {
            Ok(version) if Some(version) == needed => there.push(store.name),
            Ok(version) => older.push(format!("{} ({version})", store.name)),
            Err(error) => report.bad(
                name,
                format!("{}: {}", path.display(), chain(&error)),
                "run the program that made it, or restore a backup",
            ),
        }
    }
    if !older.is_empty() {
        report.doubtful(
            name,
            format!("older than this program: {}", older.join(", ")),
            "the next start brings them to its version: take a backup before",
        );
    } else if there.is_empty() {
        report.good(name, "are made at the first start");
    } else {
        report.good(
            name,
            format!("at this program's version: {}", there.join(", ")),
        );
    }
}

/// Looks at the servers that are configured, and at the other roles.
pub(super) async fn look(patient: &Patient<'_>, report: &mut Report) {
    postgres(patient.settings, report).await;
    rabbit(patient.settings, report).await;
    redis(patient.settings, report).await;
    peers(patient.settings, report).await;
}

async fn postgres(settings: &Settings, report: &mut Report) {
    let name = "postgresql";
    let Ok(config) = settings.section::<db::Config>("database") else {
        return;
    };
    let Some(url) = config.url else {
        return report.doubtful(
            name,
            "database.url is not set",
            "all roles but the edge and the sandbox need it",
        );
    };
    let schemas = STORES.map(|store| (store.name, store.migrations));
    match within(database(&url, &schemas, &config.limits)).await {
        Ok(look) => seen(&look, report),
        Err(error) => report.bad(
            name,
            error,
            "is it running, and are host, database, user and password of database.url right?",
        ),
    }
}

async fn database(
    url: &Secret,
    schemas: &[(&'static str, &[Migration])],
    limits: &db::Limits,
) -> Result<db::Look, String> {
    let looked = db::look(url, schemas, limits).await;
    looked.map_err(|error| chain(&error))
}

fn seen(look: &db::Look, report: &mut Report) {
    let name = "postgresql";
    let mut good = Vec::new();
    for (schema, version) in &look.schemas {
        match version {
            Ok(version) => good.push(format!("{schema} ({version})")),
            Err(error) => report.mistake(name, chain(error)),
        }
    }
    let server = &look.server;
    if look.schemas.is_empty() {
        report.bad(
            name,
            format!("version {server} answers, and this user may use no schema there"),
            "run aio migrate as the database's owner, and sign in as aio_<service>",
        );
    } else {
        let shown = if good.is_empty() {
            "none".to_owned()
        } else {
            good.join(", ")
        };
        report.good(
            name,
            format!("version {server}; schemas at this program's version: {shown}"),
        );
    }
    let apart = look.ahead.saturating_abs();
    let said = format!("{} ms from the database's", apart / 1_000);
    let mend = "have both kept right (chrony, systemd-timesyncd)";
    if apart > FAR {
        report.bad("clock", said, mend);
    } else if apart > APART {
        report.doubtful("clock", said, mend);
    } else {
        report.good("clock", said);
    }
}

async fn rabbit(settings: &Settings, report: &mut Report) {
    let name = "rabbitmq";
    let Ok(config) = settings.section::<queue::rabbit::Config>("rabbitmq") else {
        return;
    };
    if config.url.is_none() {
        return report.doubtful(name, "rabbitmq.url is not set", "media needs it");
    }
    match within(queue::rabbit::look(&config, media::QUEUE_TOPICS)).await {
        Err(error) => report.bad(
            name,
            error,
            "is it running, and are host, virtual host, user and password of rabbitmq.url right?",
        ),
        Ok(look) => {
            let version = look.version.as_deref().unwrap_or("unknown");
            let waiting: u64 = look
                .waiting
                .iter()
                .map(|(_, count)| u64::from(*count))
                .sum();
            let queues = if look.missing.is_empty() {
                format!("{} queues, {waiting} messages", look.waiting.len())
            } else {
                format!("{} are made when media starts", look.missing.join(", "))
            };
            report.good(name, format!("version {version}; {queues}"));
        }
    }
}

async fn redis(settings: &Settings, report: &mut Report) {
    let name = "redis";
    let Ok(config) = settings.section::<live::redis::Config>("redis") else {
        return;
    };
    let Some(url) = &config.url else {
        return report.doubtful(
            name,
            "redis.url is not set",
            "the edge, media and the dashboard need it",
        );
    };
    let look = match within(live::redis::look(url, &config)).await {
        Ok(look) => look,
        Err(error) => {
            return report.bad(
                name,
                error,
                "is it running, does it take writes, and are host, user and password of redis.url right?",
            );
        }
    };
    let version = look.version.as_deref().unwrap_or("unknown");
    let major = version
        .split('.')
        .next()
        .and_then(|text| text.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        return report.bad(
            name,
            format!("version {version}"),
            "Redis 7 or newer is needed",
        );
    }
    match look.policy.as_deref() {
        Some("noeviction") | None => {
            report.good(
                name,
                format!("version {version}, takes writes and runs scripts"),
            );
        }
        Some(policy) => report.doubtful(
            name,
            format!("version {version}, maxmemory-policy {policy}"),
            "set maxmemory-policy to noeviction: a rate that is evicted is a limit that is lifted",
        ),
    }
}

/// Asks each address of each role whether it is well.
async fn peers(settings: &Settings, report: &mut Report) {
    let name = "peers";
    let Ok(config) = settings.section::<PeersConfig>("peers") else {
        return;
    };
    let tasks = Tasks::default();
    for (role, places) in [
        ("billing", &config.billing),
        ("chat", &config.chat),
        ("media", &config.media),
        ("webhooks", &config.webhooks),
    ] {
        for place in places.split(',').map(str::trim) {
            match within(health(place, &config.client, &tasks)).await {
                Ok(()) => report.good(name, format!("{role} at {place} serves")),
                Err(error) => report.bad(
                    name,
                    format!("{role} at {place}: {error}"),
                    format!("start it and look into its log, or set peers.{role}"),
                ),
            }
        }
    }
    let place = config.sandbox.trim();
    if !place.is_empty() {
        match within(reach(place)).await {
            Ok(()) => report.good(name, format!("sandbox at {place} is there")),
            Err(error) => report.doubtful(
                name,
                format!("sandbox at {place}: {error}"),
                "test keys are not served without it: start it, or set peers.sandbox",
            ),
        }
    }
}

async fn health(place: &str, limits: &ClientLimits, tasks: &Tasks) -> Result<(), String> {
    let channel = rpc::network(place, Secret::new(NOBODY), limits, tasks)
        .map_err(|error| error.to_string())?;
    let question = rpc::request(HealthCheckRequest::default(), limits.keepalive_timeout);
    // A channel calls over connections alone whose other end has said that it is well.
    let answered = HealthClient::new(channel).check(question).await;
    answered
        .map(drop)
        .map_err(|status| status.message().to_owned())
}

async fn reach(place: &str) -> Result<(), String> {
    let url = Url::parse(place).map_err(|error| error.to_string())?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let connected = TcpStream::connect((host.as_str(), port)).await;
    connected.map(drop).map_err(|error| error.to_string())
}

/// What is asked, if it answers in time.
async fn within<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| late())
}

/// An error with its causes.
fn chain(error: &db::Error) -> String {
    chassis::telemetry::causes(error).to_string()
}
