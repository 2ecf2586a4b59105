//! A search for words in bytes, however they are written: as they are, in JSON, in a URL, in hex, in base64 at any place of a longer text.

use std::{collections::BTreeSet, fs, path::Path};

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// A word that may stand nowhere.
pub(crate) struct Canary {
    what: &'static str,
    word: String,
}

/// The search.
pub(crate) struct Scan {
    patterns: AhoCorasick,
    /// What each pattern is a form of.
    whats: Vec<&'static str>,
    files: usize,
}

/// A text as it stands in JSON.
fn inside(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.get(1..json.len() - 1).unwrap_or_default().to_owned()
}

/// Every way in which a word is written.
pub(crate) fn forms(word: &str) -> BTreeSet<Vec<u8>> {
    let bytes = word.as_bytes();
    let hex = |byte: &u8| format!("{byte:02x}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let percent = |blank: &'static str| -> String {
        let letter = |byte: &u8| match *byte {
            b' ' => blank.to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        };
        bytes.iter().map(letter).collect()
    };
    let json = inside(word);
    let ascii = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    };
    let texts = [
        word.to_owned(),
        bytes.iter().map(hex).collect(),
        bytes.iter().map(hex).collect::<String>().to_uppercase(),
        percent("%20"),
        percent("+"),
        json.chars().map(ascii).collect(),
        inside(&json),
        json,
    ];
    let texts = texts.into_iter().map(String::into_bytes);
    texts.chain(in_base64(bytes)).collect()
}

/// The letters that stand for a word in base64 wherever it stands: those that hold bits of nothing else, for each of the three places where it can begin.
fn in_base64(word: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let engines = [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
    let places = engines
        .into_iter()
        .flat_map(|engine| [0_usize, 1, 2].map(|before| (engine, before)));
    places.map(|(engine, before)| {
        let text = engine.encode([&vec![0; before][..], word].concat());
        let first = (before * 8).div_ceil(6);
        let last = (before + word.len()) * 8 / 6;
        text.as_bytes()[first..last].to_vec()
    })
}

// === impl Canary ===

impl Canary {
    pub(crate) fn new(what: &'static str, word: &str) -> Self {
        assert!(word.len() >= 16, "{what} is too short to be looked for");
        Self {
            what,
            word: word.to_owned(),
        }
    }
}

// === impl Scan ===

impl Scan {
    pub(crate) fn new(canaries: &[Canary]) -> Result<Self> {
        let forms = |canary: &Canary| {
            let what = canary.what;
            forms(&canary.word)
                .into_iter()
                .map(move |form| (what, form))
        };
        let (whats, forms): (Vec<_>, Vec<_>) = canaries.iter().flat_map(forms).unzip();
        Ok(Self {
            patterns: AhoCorasick::new(forms)?,
            whats,
            files: 0,
        })
    }

    /// How many files were read.
    pub(crate) const fn files(&self) -> usize {
        self.files
    }

    /// That none stands in these bytes, which are found at a place.
    pub(crate) fn bytes(&mut self, place: &str, bytes: &[u8]) -> Result<()> {
        let Some(found) = self.patterns.find(bytes) else {
            return Ok(());
        };
        let what = self.whats[found.pattern().as_usize()];
        let around = found.start().saturating_sub(160)..(found.end() + 80).min(bytes.len());
        let around = String::from_utf8_lossy(&bytes[around]).into_owned();
        ensure!(false, "{what} stands in {place}: {around:?}");
        Ok(())
    }

    /// That none stands in any file below a folder.
    pub(crate) fn folder(&mut self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                self.folder(&path)?;
            } else if kind.is_file() {
                // What a server deletes meanwhile is nowhere.
                let Ok(bytes) = fs::read(&path) else { continue };
                self.files += 1;
                self.bytes(&path.display().to_string(), &bytes)?;
            }
        }
        Ok(())
    }
}
