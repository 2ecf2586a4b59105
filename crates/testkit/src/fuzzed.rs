//! Promises about any bytes, kept on the corpora of the fuzzers (`fuzz/corpus/TARGET`) and on what becomes of them by a few edits. The fuzzers
//! look further, and what they find is put into the corpus.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use proptest::{
    collection::vec,
    prelude::any,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};

/// How many edited inputs are tried beside the corpus itself.
const EDITED: u32 = 300;
/// The most edits of one.
const EDITS: usize = 6;

/// What is done to an input.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Change,
    Insert,
    Remove,
    Cut,
    Repeat,
}

const ALL: [Edit; 5] = [
    Edit::Change,
    Edit::Insert,
    Edit::Remove,
    Edit::Cut,
    Edit::Repeat,
];

/// Has a promise kept on everything in a target's corpus, and on edited pieces of it. The promise panics where it is broken.
///
/// # Errors
/// When there is no such corpus; with the smallest input that breaks the promise.
pub fn fuzzed(target: &str, promise: impl Fn(&[u8])) -> Result<()> {
    let corpus = corpus(target)?;
    for bytes in &corpus {
        promise(bytes);
    }
    let edits = vec((any::<Index>(), select(&ALL[..]), any::<u8>()), 1..EDITS);
    let config = Config {
        cases: EDITED,
        failure_persistence: None,
        ..Config::default()
    };
    let tried = TestRunner::new(config).run(&(select(corpus), edits), |(mut bytes, edits)| {
        for (place, edit, byte) in edits {
            edit.apply(&mut bytes, place, byte);
        }
        promise(&bytes);
        Ok(())
    });
    Ok(tried?)
}

/// Everything in a target's corpus.
fn corpus(target: &str) -> Result<Vec<Vec<u8>>> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let place = place.join(target);
    let files = fs::read_dir(&place).with_context(|| place.display().to_string())?;
    let mut corpus = files
        .map(|file| Ok(fs::read(file?.path())?))
        .collect::<Result<Vec<_>>>()?;
    ensure!(!corpus.is_empty(), "{} is empty", place.display());
    corpus.sort();
    Ok(corpus)
}

// === impl Edit ===

impl Edit {
    fn apply(self, bytes: &mut Vec<u8>, place: Index, byte: u8) {
        if bytes.is_empty() {
            bytes.push(byte);
            return;
        }
        let at = place.index(bytes.len());
        match self {
            Self::Change => bytes[at] = byte,
            Self::Insert => bytes.insert(at, byte),
            Self::Remove => drop(bytes.remove(at)),
            Self::Cut => bytes.truncate(at),
            Self::Repeat => bytes.extend_from_within(at..),
        }
    }
}
