//! The servers of a whole test run, for `cargo xtask test`: starts one PostgreSQL and one RabbitMQ, says where they are, and
//! stops them when its input ends. So they are gone however the run ends. `test-servers missing` names the packages that have
//! to be installed first, one a line.

use std::io::Write as _;

use anyhow::Result;
use testkit::servers::{Postgres, Rabbit, SHARED_POSTGRES, SHARED_RABBITMQ, programs};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("missing") {
        for package in programs::missing() {
            say(package)?;
        }
        return Ok(());
    }
    let (postgres, rabbit) = tokio::try_join!(Postgres::start(), Rabbit::start())?;
    say(&format!("{SHARED_POSTGRES}={}", postgres.superuser_url()))?;
    say(&format!("{SHARED_RABBITMQ}={}", rabbit.url()))?;
    // Nothing else happens here, so this may block.
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    drop((postgres, rabbit));
    Ok(())
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
