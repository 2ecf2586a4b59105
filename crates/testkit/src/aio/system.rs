//! What the system says of the program's processes, and what it grants them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Aio, Role, house::House};

// === impl Aio ===

impl Aio {
    /// Where all that it keeps lies: data directories, outputs, and the logs of every start.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The memory that the processes of a role have at this moment, together, in KiB.
    ///
    /// # Errors
    /// When one does not run.
    pub fn memory(&self, role: Role) -> Result<u64> {
        let mut sum = 0_u64;
        for pid in self.house.pids(role)? {
            let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()))?;
            let resident = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
            let resident: u64 = resident.context("no memory")?.trim().parse()?;
            sum = sum.saturating_add(resident);
        }
        Ok(sum)
    }

    /// Lets each process of a role have at most so many more files and connections open than it has now.
    ///
    /// # Errors
    /// When one does not run, or the system refuses.
    pub fn spare_files(&self, role: Role, more: u64) -> Result<()> {
        for pid in self.house.pids(role)? {
            let open = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid()))?.count();
            let most = u64::try_from(open)?.saturating_add(more);
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            prlimit(Some(pid), Resource::Nofile, limit)?;
        }
        Ok(())
    }
}

impl House {
    /// Those that do what this role does.
    fn pids(&self, role: Role) -> Result<Vec<Pid>> {
        let those = self.instances().filter(|instance| instance.plays(role));
        those.map(|instance| instance.pid()).collect()
    }
}
