//! Reading the repository once, and showing it to every rule.

use super::{
    Finding, bans,
    map::{self, Files},
    members::{self, Member},
    sizes,
    source::Source,
    tables::{self, Migration},
};
use anyhow::Context;
use cargo_metadata::MetadataCommand;
use std::{fs, path::Path};

/// The repository, read.
pub(crate) struct House {
    files: Files,
    members: Vec<Member>,
}

/// Folders in the root that are made by building and running, or belong to git.
const LEFT_OUT: [&str; 3] = [".git", "target", "data"];
/// Notes that live beside the repository and never in it. In two parts, so that this line is no finding.
const OUTSIDE: [&str; 2] = ["../", "shared"];

// === impl House ===

impl House {
    /// Reads every file below the root of the workspace.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec()?;
        let root = metadata.workspace_root.as_std_path();
        let mut files = Files::new();
        walk(root, root, &mut files)?;
        let members = members::members(&metadata)?;
        Ok(Self { files, members })
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// What every rule has to say.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let (owners, mut findings) = tables::owners(&self.migrations());
        findings.extend(members::member_findings(&self.members));
        findings.extend(map::map_findings(&self.files));
        let files = self.files.iter();
        findings.extend(files.flat_map(|(path, text)| outside(path, text)));
        for (path, text) in self.ending(".rs") {
            match Source::parse(path, text) {
                Err(broken) => findings.push(broken),
                Ok(source) => {
                    findings.extend(sizes::opening(&source));
                    findings.extend(sizes::file_lines(&source));
                    findings.extend(sizes::item_sizes(&source));
                    findings.extend(bans::banned_words(&source));
                    findings.extend(tables::foreign_writes(&source, &owners));
                }
            }
        }
        findings
    }

    fn ending(&self, end: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        files.filter(move |(path, _)| path.ends_with(end))
    }

    fn migrations(&self) -> Vec<Migration> {
        let scripts = self
            .ending(".sql")
            .filter(|(path, _)| path.contains("/migrations/"));
        let owned = scripts.map(|(path, text)| (path.to_owned(), text.to_owned()));
        owned.map(|(path, text)| Migration { path, text }).collect()
    }
}

/// Lines that point at notes outside the repository.
fn outside(path: &str, text: &str) -> Vec<Finding> {
    let needle = OUTSIDE.concat();
    let lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| line.contains(&needle));
    lines
        .map(|(_, number)| {
            let allowed = "what the repository itself contains";
            Finding::new(path, number, "points outside the repository", allowed)
        })
        .collect()
}

fn walk(root: &Path, folder: &Path, files: &mut Files) -> anyhow::Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let left_out = LEFT_OUT.iter().any(|name| path == root.join(name));
        if kind.is_dir() && !left_out {
            walk(root, &path, files)?;
        } else if kind.is_file() {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            // A picture is a file of the house as well, but there is no word in it to look at.
            files.insert(name, String::from_utf8(bytes).unwrap_or_default());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{OUTSIDE, outside};

    #[test]
    fn nothing_points_outside_the_repository() {
        let pointer = format!("See {}/notes.md.\n", OUTSIDE.concat());
        assert_eq!(outside("README.md", &pointer).len(), 1);
        assert!(outside("README.md", "See the shared notes.\n").is_empty());
    }
}
