//! The machine: directories and who may read them, room on the disk, file descriptors, the clock, the ports.

use std::{
    fs::{File, TryLockError},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{Access, access},
    process::{Resource, getrlimit},
};

use super::{Patient, report::Report};
use crate::{
    args::Role, assemble::Engines, backup::UNFINISHED, config::Config, health, say, stores,
};

/// With less free room than this, nothing can be relied on.
const LEAST_ROOM: u64 = 256 << 20;
/// With less than this, it is time to do something.
const LITTLE_ROOM: u64 = 2 << 30;
/// With fewer file descriptors, hardly anything works.
const LEAST_DESCRIPTORS: u64 = 256;
/// With fewer, several hundred open streams are too many: each takes two, and connections to providers come on top.
const FEW_DESCRIPTORS: u64 = 4_096;
/// How far in the future something may have been written.
const SLACK: Duration = Duration::from_secs(2);

/// Who is here already.
#[derive(Clone, Copy)]
enum Tenant {
    /// An aio with these settings.
    Aio,
    Nobody,
}

/// Looks at the machine.
pub(super) fn look(patient: &Patient<'_>, report: &mut Report) {
    let storage = media::StorageConfig::read(patient.settings).unwrap_or_default();
    let mut places = Vec::new();
    if patient.engines == Engines::Embedded {
        directory("data directory", patient.data_dir, report);
        places.push(patient.data_dir.to_owned());
        clock(patient.data_dir, report);
    }
    if let Some(files) = storage.directory {
        directory("files", &files, report);
        places.push(files);
    }
    for place in places {
        room(&place, report);
    }
    descriptors(report);
    ports(patient, report);
}

/// Whether a directory can be written to, by its owner alone.
fn directory(name: &'static str, place: &Path, report: &mut Report) {
    let shown = place.display();
    let near = nearest(place);
    if access(&near, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return report.bad(
            name,
            format!("cannot write in {}", near.display()),
            "let the user that runs aio own it, or choose another place",
        );
    }
    let Ok(metadata) = place.metadata() else {
        return report.good(name, format!("{shown} is made at the first start"));
    };
    if place.join(UNFINISHED).exists() {
        return report.bad(
            name,
            format!("a restore into {shown} was not finished"),
            "empty it and restore again",
        );
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        report.good(name, format!("{shown}, mode {mode:04o}"));
    } else {
        report.doubtful(
            name,
            format!("{shown} has mode {mode:04o}, and others see what is in it"),
            format!("chmod 700 {shown}"),
        );
    }
}

/// The place, or what is there of the way to it.
fn nearest(place: &Path) -> PathBuf {
    let there = place.ancestors().find(|above| above.exists());
    match there {
        Some(there) if !there.as_os_str().is_empty() => there.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn room(place: &Path, report: &mut Report) {
    let (name, place) = ("disk", nearest(place));
    let free = match say::room(&place) {
        Ok(free) => free,
        Err(error) => return report.mistake(name, format!("{error:#}")),
    };
    let said = format!("{} are free in {}", say::size(free), place.display());
    let mend = "delete something, make it larger, or keep files elsewhere (storage)";
    if free < LEAST_ROOM {
        report.bad(name, said, mend);
    } else if free < LITTLE_ROOM {
        report.doubtful(name, said, mend);
    } else {
        report.good(name, said);
    }
}

fn descriptors(report: &mut Report) {
    let name = "descriptors";
    let Some(most) = getrlimit(Resource::Nofile).current else {
        return report.good(name, "as many files may be open as there are");
    };
    let said = format!("{most} files may be open");
    let mend = "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the service's unit";
    if most < LEAST_DESCRIPTORS {
        report.bad(name, said, mend);
    } else if most < FEW_DESCRIPTORS {
        report.doubtful(name, said, mend);
    } else {
        report.good(name, said);
    }
}

/// Whether the clock stands behind what was written already: keys, links and leases go by it.
fn clock(data_dir: &Path, report: &mut Report) {
    let written = stores::files()
        .filter_map(|store| data_dir.join(store.file()).metadata().ok()?.modified().ok())
        .max();
    let ahead = written.and_then(|written| written.duration_since(SystemTime::now()).ok());
    match ahead {
        Some(ahead) if ahead > SLACK => report.bad(
            "clock",
            format!(
                "it stands {} s before the last write to a database",
                ahead.as_secs()
            ),
            "set it, and have it kept right (chrony, systemd-timesyncd)",
        ),
        Some(_) | None => report.good("clock", "not before the last write to a database"),
    }
}

/// Whether the ports are free, or an aio listens there.
fn ports(patient: &Patient<'_>, report: &mut Report) {
    let Ok(config) = patient.settings.section::<Config>("server") else {
        // The configuration's own mistake.
        return;
    };
    let runs = match patient.engines {
        Engines::Embedded => is_locked(patient.data_dir),
        Engines::Shared => health::is_there(config.admin_listen),
    };
    let tenant = if runs { Tenant::Aio } else { Tenant::Nobody };
    let public = match (patient.engines, config.listen) {
        // Which role is meant is not known.
        (Engines::Shared, None) => None,
        (Engines::Shared | Engines::Embedded, _) => Some(config.listen(Role::Edge.port())),
    };
    let listened = [
        public.map(|address| (address, "server.listen")),
        Some((config.admin_listen, "server.admin_listen")),
    ];
    for (address, setting) in listened.into_iter().flatten() {
        port(address, setting, tenant, report);
    }
}

fn port(address: SocketAddr, setting: &str, tenant: Tenant, report: &mut Report) {
    let name = "ports";
    match (TcpListener::bind(address), tenant) {
        (Ok(_), Tenant::Aio) => {
            report.good(name, format!("an aio runs here, and {address} is free"));
        }
        (Ok(_), Tenant::Nobody) => report.good(name, format!("{address} is free")),
        (Err(error), Tenant::Aio) if error.kind() == io::ErrorKind::AddrInUse => {
            report.good(name, format!("an aio runs here, and {address} is in use"));
        }
        (Err(error), Tenant::Aio | Tenant::Nobody) => report.bad(
            name,
            format!("cannot listen on {address} ({error})"),
            format!("stop what listens there, or choose another address for {setting}"),
        ),
    }
}

/// Whether a process has the data directory.
fn is_locked(data_dir: &Path) -> bool {
    let lock = File::open(data_dir.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}
