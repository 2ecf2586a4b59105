//! The map does not name streets that are not there: every path in ARCHITECTURE.md exists, and so does every function that
//! a walkthrough names beside its file.

use super::Finding;
use std::collections::BTreeMap;

/// Where the map is.
pub(crate) const MAP: &str = "ARCHITECTURE.md";

/// More is no map.
const MAP_LINES: usize = 250;

/// Every file of the repository: path from its root to text (empty for what is no text).
pub(crate) type Files = BTreeMap<String, String>;

/// Names on the map for which there is nothing.
pub(crate) fn map_findings(files: &Files) -> Vec<Finding> {
    let Some(map) = files.get(MAP) else {
        return vec![Finding::new(
            MAP,
            0,
            "there is no map",
            MAP_LINES.to_string() + " lines",
        )];
    };
    let (lines, count) = (map.lines().zip(1..), map.lines().count());
    let problem = format!("{count} lines");
    let long = (count > MAP_LINES).then(|| Finding::new(MAP, 0, problem, MAP_LINES.to_string()));
    lines
        .flat_map(|(line, number)| line_findings(line, number, files))
        .chain(long)
        .collect()
}

fn line_findings(line: &str, number: usize, files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing = |name: &str| {
        Finding::new(
            MAP,
            number,
            format!("`{name}` does not exist"),
            "what the sources have",
        )
    };
    for name in quoted(line).into_iter().filter(|name| is_path(name)) {
        if !exists(name, files) {
            findings.push(missing(name));
        }
    }
    let cells: Vec<_> = line.split('|').collect();
    for pair in cells.windows(2) {
        let &[paths, functions] = pair else { continue };
        let texts: Vec<_> = quoted(paths)
            .into_iter()
            .filter_map(|path| text(path, files))
            .collect();
        let functions = quoted(functions).into_iter().filter(|name| is_name(name));
        let unknown = functions.filter(|name| !texts.iter().any(|text| declares(text, name)));
        if !texts.is_empty() {
            findings.extend(unknown.map(missing));
        }
    }
    findings
}

/// The pieces of a line between backticks.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Whether a piece names a file or a folder. `<name>` stands for many and is not looked up.
fn is_path(piece: &str) -> bool {
    let path = piece.ends_with(".rs") || piece.ends_with('/');
    let plain = piece
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    path && plain && piece.contains('/') && !piece.starts_with('/')
}

fn is_name(piece: &str) -> bool {
    piece.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !piece.is_empty()
}

/// `edge/src/sse.rs` stands for `services/edge/src/sse.rs`: the folder of a room goes without saying.
fn candidates(path: &str) -> [String; 3] {
    ["", "services/", "crates/"].map(|folder| format!("{folder}{path}"))
}

fn exists(path: &str, files: &Files) -> bool {
    candidates(path).iter().any(|full| {
        let next = files.range(full.clone()..).next();
        next.is_some_and(|(file, _)| {
            file == full || (full.ends_with('/') && file.starts_with(full))
        })
    })
}

fn text<'f>(path: &str, files: &'f Files) -> Option<&'f str> {
    let known = candidates(path)
        .into_iter()
        .find_map(|full| files.get(&full));
    known.filter(|_| path.ends_with(".rs")).map(String::as_str)
}

fn declares(text: &str, name: &str) -> bool {
    let words: Vec<_> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let keywords = ["fn", "struct", "enum", "trait", "type"];
    words
        .windows(2)
        .any(|pair| pair.last() == Some(&name) && keywords.iter().any(|k| pair.first() == Some(k)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(map: &str) -> Vec<String> {
        let sse = "services/edge/src/sse.rs";
        let files = [(sse, "pub fn respond() {}\nstruct Caller;"), (MAP, map)];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let findings = map_findings(&Files::from(files));
        findings
            .into_iter()
            .map(|finding| finding.problem)
            .collect()
    }

    #[test]
    fn paths_on_the_map_exist() {
        assert!(
            check("In `edge/src/sse.rs` and `services/edge/`, `providers/<name>.rs`.").is_empty()
        );
        assert_eq!(
            check("In `edge/src/gone.rs`."),
            ["`edge/src/gone.rs` does not exist"]
        );
        assert_eq!(
            check("In `services/ed/`."),
            ["`services/ed/` does not exist"]
        );
    }

    #[test]
    fn functions_beside_their_file_exist() {
        assert!(
            check("| 1 | `edge/src/sse.rs` | **`respond`**, `Caller` | what `x` does |").is_empty()
        );
        assert_eq!(
            check("| 1 | `edge/src/sse.rs` | `answer` |"),
            ["`answer` does not exist"]
        );
    }

    #[test]
    fn the_map_has_at_most_250_lines() {
        assert!(check(&"A.\n".repeat(250)).is_empty());
        assert_eq!(check(&"A.\n".repeat(251)), ["251 lines"]);
    }

    #[test]
    fn there_is_a_map() {
        assert_eq!(map_findings(&Files::new()).len(), 1);
    }
}
