//! The price list: every model file in one text, which a receipt names by its hash. It is kept as long as a receipt may ask for it.
//!
//! ```text
//! #: gemini.toml
//! slug = "gemini"
//! …
//! #: flux-2.toml
//! …
//! ```

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::CatalogueError;

/// What stands before the name of a file, on a line of its own.
const MARK: &str = "#: ";
/// Bytes of the hash that are its version: enough to tell an operator's lists apart.
const BYTES: usize = 8;

/// One text of many files.
pub(super) fn join(files: &[(&str, &str)]) -> Result<String, CatalogueError> {
    let mut list = String::new();
    for (file, text) in files {
        if file.contains('\n') || text.lines().any(|line| line.starts_with(MARK)) {
            return Err(CatalogueError::Invalid {
                file: (*file).to_owned(),
                problem: format!(
                    "no line of it may begin with {MARK:?}, which begins a file in a price list"
                ),
            });
        }
        list.push_str(MARK);
        list.push_str(file);
        list.push('\n');
        list.push_str(text);
        if !text.ends_with('\n') {
            list.push('\n');
        }
    }
    Ok(list)
}

/// The files of one text: name and text of each.
pub(super) fn split(list: &str) -> Result<Vec<(&str, &str)>, CatalogueError> {
    let mut files: Vec<(&str, Range<usize>)> = Vec::new();
    let mut at = 0_usize;
    for line in list.split_inclusive('\n') {
        at = at.saturating_add(line.len());
        match (line.strip_prefix(MARK), files.last_mut()) {
            (Some(name), _) => files.push((name.trim_end(), at..at)),
            (None, Some((_, text))) => text.end = at,
            (None, None) => return Err(no_list()),
        }
    }
    if files.is_empty() {
        return Err(no_list());
    }
    let texts = files.into_iter();
    Ok(texts
        .map(|(name, text)| (name, list.get(text).unwrap_or_default()))
        .collect())
}

fn no_list() -> CatalogueError {
    CatalogueError::Invalid {
        file: "the price list".to_owned(),
        problem: format!("it must begin with {MARK:?} and the name of its first file"),
    }
}

/// The version of a price list: the first 16 hex digits of the SHA-256 of its text.
pub fn version(list: &str) -> String {
    let hash = Sha256::digest(list.as_bytes());
    let digits = hash.iter().take(BYTES).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use crate::Catalogue;

    #[test]
    fn a_list_gives_back_the_files_it_was_made_of() {
        let catalogue = Catalogue::built_in().unwrap();
        let again = Catalogue::from_list(catalogue.list()).unwrap();
        assert_eq!(again.version(), catalogue.version());
        assert_eq!(again.list(), catalogue.list());
        assert_eq!(again.models().len(), catalogue.models().len());
        let files = [("a", "x\ny"), ("b", ""), ("c", "\n"), ("d", "z\n")];
        let list = super::join(&files).unwrap();
        let split = super::split(&list).unwrap();
        assert_eq!(
            split,
            [("a", "x\ny\n"), ("b", "\n"), ("c", "\n"), ("d", "z\n")]
        );
        assert_eq!(super::join(&split).unwrap(), list);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(Catalogue::from_list("").is_err());
        assert!(Catalogue::from_list("slug = 1").is_err());
        assert!(super::join(&[("a", "#: b\n")]).is_err());
    }
}
