//! `aio completions`, `aio man`: the command line, told to a shell and to `man`.

use std::{fs, io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::{
    args::{Args, Paper},
    say,
};

/// Prints or writes what was asked for.
pub(crate) fn paper(paper: &Paper) -> anyhow::Result<ExitCode> {
    let mut command = Args::command();
    match paper {
        Paper::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command, "aio", &mut script);
            print(&script);
        }
        Paper::Man { to: None } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            print(&page);
        }
        Paper::Man {
            to: Some(directory),
        } => {
            let shown = directory.display();
            fs::create_dir_all(directory).with_context(|| format!("cannot make {shown}"))?;
            clap_mangen::generate_to(command, directory)
                .with_context(|| format!("cannot write in {shown}"))?;
            say::line(format!("the pages are in {shown}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A closed pipe is no mistake of ours.
fn print(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn every_shell_and_the_manual_know_every_command() {
        let names: Vec<String> = Args::command()
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        assert!(names.iter().any(|name| name == "backup"), "{names:?}");
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "aio", &mut script);
            let script = String::from_utf8(script).unwrap();
            for name in &names {
                assert!(
                    script.contains(name.as_str()),
                    "{shell} knows nothing of {name}"
                );
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let to = Some(folder.path().to_owned());
        paper(&Paper::Man { to }).unwrap();
        for name in &names {
            let page = folder.path().join(format!("aio-{name}.1"));
            assert!(page.is_file(), "no page of {name}");
        }
    }
}
