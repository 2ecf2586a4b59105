//! Who may depend on whom, and what every manifest says.

use super::Finding;
use cargo_metadata::{DependencyKind, Metadata, Package};
use std::collections::BTreeMap;

/// A member of the workspace, as far as these rules look at it.
pub(crate) struct Member {
    name: String,
    /// `services/edge`, `crates/domain`.
    dir: String,
    /// Members this one depends on, and in which section of its manifest.
    needs: Vec<(String, Section)>,
    manifest: String,
}

/// The section of a manifest that names a dependency.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Normal,
    /// Only for tests.
    Dev,
    Build,
}

/// Edges between members that the program itself has: those of tools and of testkit do not count, nor do dev and build sections.
const EDGES: usize = 60;
/// Tools that run or measure the house from outside. Nothing that is shipped may contain them.
const TOOLS: [&str; 4] = ["bench", "chaos", "e2e", "xtask"];
/// What tests are made with; shipped as little as the tools are.
const TESTKIT: &str = "testkit";
/// The one service that knows the others.
const PROGRAM: &str = "aio";

/// Reads the members out of `cargo metadata`.
pub(crate) fn members(metadata: &Metadata) -> anyhow::Result<Vec<Member>> {
    let packages = metadata.workspace_packages();
    let root = metadata.workspace_root.as_std_path();
    packages
        .iter()
        .map(|package| Member::read(package, root))
        .collect()
}

/// Every rule about members.
pub(crate) fn member_findings(members: &[Member]) -> Vec<Finding> {
    let dirs: BTreeMap<_, _> = members
        .iter()
        .map(|m| (m.name.as_str(), m.dir.as_str()))
        .collect();
    let mut findings: Vec<_> = members.iter().flat_map(|m| directions(m, &dirs)).collect();
    findings.extend(members.iter().filter_map(lints));
    findings.extend(edges(members));
    findings
}

/// Dependencies that point the wrong way.
fn directions(member: &Member, dirs: &BTreeMap<&str, &str>) -> Vec<Finding> {
    let tool = TOOLS.contains(&member.name.as_str());
    let refusal = |(needed, section): &(String, Section)| {
        let service = dirs.get(needed.as_str())?.starts_with("services/");
        let allowed = match needed.as_str() {
            TESTKIT if *section != Section::Dev && !tool => "testkit: in [dev-dependencies]",
            name if TOOLS.contains(&name) => "nobody depends on a tool",
            _ if service && !tool && member.dir.starts_with("crates/") => "crates depend on crates",
            _ if service && !tool && member.name != PROGRAM => "only aio knows several services",
            _ => return None,
        };
        let problem = format!("{} depends on {needed}", member.name);
        Some(Finding::new(&member.manifest_path(), 0, problem, allowed))
    };
    member.needs.iter().filter_map(refusal).collect()
}

/// A member that does not take the lints of the workspace.
fn lints(member: &Member) -> Option<Finding> {
    let manifest: toml::Table = member.manifest.parse().unwrap_or_default();
    let inherits = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    let inherits = inherits.and_then(toml::Value::as_bool) == Some(true);
    let problem = "the lints of the workspace do not hold here";
    (!inherits).then(|| {
        Finding::new(
            &member.manifest_path(),
            0,
            problem,
            "[lints] workspace = true",
        )
    })
}

/// Too dense a web of members.
fn edges(members: &[Member]) -> Option<Finding> {
    let is_shipped = |member: &&Member| {
        let name = member.name.as_str();
        !TOOLS.contains(&name) && name != TESTKIT
    };
    let shipped = members.iter().filter(is_shipped);
    let edges = shipped
        .flat_map(|member| &member.needs)
        .filter(|(_, section)| *section == Section::Normal)
        .count();
    let problem = format!("{edges} edges between members");
    (edges > EDGES).then(|| Finding::new("Cargo.toml", 0, problem, EDGES.to_string()))
}

// === impl Member ===

impl Member {
    fn read(package: &Package, root: &std::path::Path) -> anyhow::Result<Self> {
        let manifest = package.manifest_path.as_std_path();
        let dir = manifest.parent().unwrap_or(manifest).strip_prefix(root)?;
        // A path makes a dependency one of ours: everything else comes from the registry.
        let needs = package
            .dependencies
            .iter()
            .filter(|need| need.path.is_some());
        Ok(Self {
            name: package.name.to_string(),
            dir: dir.to_string_lossy().into_owned(),
            needs: needs
                .map(|need| (need.name.clone(), need.kind.into()))
                .collect(),
            manifest: std::fs::read_to_string(manifest)?,
        })
    }

    fn manifest_path(&self) -> String {
        format!("{}/Cargo.toml", self.dir)
    }
}

// === impl Section ===

impl From<DependencyKind> for Section {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "cargo_metadata's enum is open; an unknown section counts as a normal one"
    )]
    fn from(kind: DependencyKind) -> Self {
        match kind {
            DependencyKind::Development => Self::Dev,
            DependencyKind::Build => Self::Build,
            _ => Self::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(dir: &str, needs: &[(&str, Section)]) -> Member {
        Member {
            name: dir.rsplit('/').next().unwrap().to_owned(),
            dir: dir.to_owned(),
            needs: needs
                .iter()
                .map(|(name, section)| ((*name).to_owned(), *section))
                .collect(),
            manifest: "[lints]\nworkspace = true\n".to_owned(),
        }
    }

    /// How many findings there are when `dir` needs `needed`.
    fn check(dir: &str, needed: &str, section: Section) -> usize {
        let mut house = vec![member(dir, &[(needed, section)])];
        let others = [
            "services/chat",
            "services/edge",
            "crates/domain",
            "crates/testkit",
            "crates/e2e",
        ];
        let others = others.into_iter().filter(|other| *other != dir);
        house.extend(others.map(|other| member(other, &[])));
        member_findings(&house).len()
    }

    #[test]
    fn dependencies_point_one_way() {
        assert_eq!(check("services/chat", "domain", Section::Normal), 0);
        assert_eq!(check("crates/domain", "chat", Section::Normal), 1);
        assert_eq!(check("services/edge", "chat", Section::Dev), 1);
        assert_eq!(check("services/aio", "chat", Section::Normal), 0);
        assert_eq!(check("crates/bench", "chat", Section::Normal), 0);
    }

    #[test]
    fn what_tests_are_made_with_is_not_shipped() {
        assert_eq!(check("services/edge", "testkit", Section::Dev), 0);
        assert_eq!(check("services/edge", "testkit", Section::Normal), 1);
        assert_eq!(check("crates/e2e", "testkit", Section::Normal), 0);
        assert_eq!(check("services/edge", "e2e", Section::Dev), 1);
    }

    #[test]
    fn every_member_takes_the_lints() {
        let mut house = [member("crates/domain", &[])];
        assert!(member_findings(&house).is_empty());
        house[0].manifest.clear();
        assert_eq!(member_findings(&house).len(), 1);
    }

    #[test]
    fn the_web_has_at_most_60_edges() {
        let web = |edges| {
            [member(
                "crates/db",
                &vec![("domain", Section::Normal); edges],
            )]
        };
        assert!(member_findings(&web(60)).is_empty());
        assert_eq!(member_findings(&web(61)).len(), 1);
        let mut of_a_tool = web(61);
        of_a_tool[0] = member("crates/bench", &[("domain", Section::Normal); 61]);
        assert!(
            member_findings(&of_a_tool).is_empty(),
            "no part of the program"
        );
    }
}
