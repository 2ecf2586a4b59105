//! Opening a SQLite file: WAL, every commit on disk before it is answered, one writer, several readers.

mod file;
mod moment;
mod writer;

pub use file::File;
pub use moment::{Contents, Moment, contents, standing};
pub(crate) use writer::Writer;

use std::path::Path;

use chassis::Tasks;
use sqlx::{
    AnyConnection, AnyPool, Connection as _, Executor as _, any::AnyPoolOptions, migrate::Migrator,
};

use file::Turns;

use crate::{Engine, Error, Limits, Migration, version};

/// What every connection is told. `synchronous = full`: a commit that was answered survives a power cut.
const PRAGMAS: &str = "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000; \
                       pragma foreign_keys = on; pragma temp_store = memory";
/// The writer keeps so many KiB of pages: it comes back to the ends of a few tables and indexes.
const WRITERS_PAGES: &str = "pragma cache_size = -16000";
/// A reader keeps few: there are several, they come back to little, and what a connection has once taken it never gives back.
const READERS_PAGES: &str = "pragma cache_size = -2000; pragma query_only = on";

/// Opens or makes a file, migrates it, and starts its writer and its readers.
pub(crate) async fn open(
    path: &Path,
    migrations: &[Migration],
    limits: &Limits,
    tasks: &Tasks,
) -> Result<(Writer, File, AnyPool), Error> {
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut connection = writing(&url).await?;
    migrate(&mut connection, &name(path), migrations).await?;
    let readers = AnyPoolOptions::new()
        .max_connections(limits.readers)
        .acquire_timeout(limits.acquire_timeout)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(PRAGMAS).await?;
                connection.execute(READERS_PAGES).await?;
                Ok(())
            })
        })
        .connect(&url)
        .await?;
    let turns = Turns::default();
    let file = File::new(path, turns.clone(), tasks);
    let writer = Writer::start((connection, url), turns, limits, tasks);
    Ok((writer, file, readers))
}

/// Opens a writing connection.
async fn writing(url: &str) -> Result<AnyConnection, Error> {
    let mut connection = AnyConnection::connect(url).await?;
    connection.execute(PRAGMAS).await?;
    connection.execute(WRITERS_PAGES).await?;
    Ok(connection)
}

/// What a file's schema is called: as the file is.
fn name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

async fn migrate(
    connection: &mut AnyConnection,
    name: &str,
    migrations: &[Migration],
) -> Result<(), Error> {
    let applied = version::applied(connection).await?;
    version::fits(name, &applied, migrations, Engine::Sqlite)?;
    let steps = migrations
        .iter()
        .map(|step| step.step(Engine::Sqlite))
        .collect();
    Ok(Migrator::with_migrations(steps).run(connection).await?)
}
