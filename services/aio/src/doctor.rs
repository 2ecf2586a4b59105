//! `aio doctor`: looks at every setting and at everything that an installation needs, and says in a line each what is wrong and how to
//! mend it. It changes nothing, starts nothing, and works while `aio` runs and while it does not. What it looks at follows from what is
//! configured: the data directory of `aio up`, or the servers and the other roles of one that is many processes.

mod machine;
mod report;
mod servers;
mod settings;

use std::{path::Path, process::ExitCode};

use chassis::config::Settings;

use self::report::Report;
use crate::{args::Doctor, assemble::Engines, say};

/// What is looked at.
struct Patient<'p> {
    settings: &'p Settings,
    data_dir: &'p Path,
    engines: Engines,
}

/// Says how everything is; exits 0 only if nothing is wrong. What works, and not as well as it could, is a warning.
pub(crate) async fn doctor(settings: &Settings, data_dir: &Path, asked: &Doctor) -> ExitCode {
    let patient = Patient {
        settings,
        data_dir,
        engines: engines(settings),
    };
    let mut report = Report::default();
    settings::look(&patient, &mut report).await;
    machine::look(&patient, &mut report);
    match patient.engines {
        Engines::Embedded => servers::files(&patient, &mut report),
        Engines::Shared => servers::look(&patient, &mut report).await,
    }
    if asked.json {
        say::line(report.json());
    } else {
        for line in report.lines() {
            say::line(line);
        }
    }
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether the settings are those of `aio up`, or of processes that share servers.
fn engines(settings: &Settings) -> Engines {
    let shared = ["database.url", "rabbitmq.url", "redis.url", "peers."];
    let set = settings.shown().unwrap_or_default();
    let is_shared = |name: &str| shared.iter().any(|start| name.starts_with(start));
    if set.iter().any(|setting| is_shared(&setting.name)) {
        Engines::Shared
    } else {
        Engines::Embedded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_a_server_is_no_aio_up() {
        for (text, shape) in [
            ("", Engines::Embedded),
            ("[database]\nreaders = 2", Engines::Embedded),
            ("[database]\nurl = 'postgres://a@b/c'", Engines::Shared),
            ("[peers]\nbilling = 'http://billing:9103'", Engines::Shared),
            ("[redis]\nurl = 'redis://r'", Engines::Shared),
        ] {
            assert_eq!(engines(&Settings::from_toml(text)), shape, "{text}");
        }
    }
}
