//! Writes what `src/tokens/` reads: the vocabulary `o200k_base` with a table to look it up in, and what kind of character is what. The program
//! reads them in place: nothing is loaded, and only what is looked at takes memory.

use std::{error::Error, fs, path::PathBuf};

use regex_syntax::hir::{Class, HirKind};

#[path = "src/tokens/hash.rs"]
mod hash;

/// The general categories by which a text is cut, and the letter that stands for each kind in `kinds.bin`.
const KINDS: [(&str, u8); 6] = [
    (r"[\p{Lu}\p{Lt}]", b'U'),
    (r"\p{Ll}", b'l'),
    (r"[\p{Lm}\p{Lo}]", b'L'),
    (r"\p{M}", b'M'),
    (r"\p{N}", b'N'),
    (r"\s", b' '),
];
/// The letter of everything else.
const OTHER: u8 = b'.';

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/tokens/hash.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let tokens = vocabulary()?;
    let mut starts = Vec::new();
    let mut start = 0_u32;
    for token in &tokens {
        starts.extend(start.to_le_bytes());
        start += u32::try_from(token.len())?;
    }
    starts.extend(start.to_le_bytes());
    fs::write(out.join("starts.bin"), starts)?;
    fs::write(out.join("tokens.bin"), tokens.concat())?;
    fs::write(out.join("slots.bin"), slots(&tokens)?)?;
    fs::write(out.join("kinds.bin"), kinds()?)?;
    Ok(())
}

/// The tokens by their rank.
fn vocabulary() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let published = tiktoken::get_encoding("o200k_base").ok_or("no o200k_base")?;
    let ranks = 0..u32::try_from(published.vocab_size())?;
    let tokens: Vec<Vec<u8>> = ranks.map(|rank| published.decode(&[rank])).collect();
    if tokens.iter().any(Vec::is_empty) {
        return Err("the ranks of o200k_base have gaps".into());
    }
    Ok(tokens)
}

/// The table: open addressing, one slot after the other.
fn slots(tokens: &[Vec<u8>]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut slots = vec![hash::EMPTY; 1 << hash::SLOT_BITS];
    for (rank, token) in tokens.iter().enumerate() {
        let (first, tag) = hash::place(token);
        let (before, behind) = slots.split_at_mut(usize::try_from(first)?);
        let mut slots = behind.iter_mut().chain(before);
        let free = slots.find(|slot| **slot == hash::EMPTY);
        *free.ok_or("the table is full")? = tag << hash::RANK_BITS | u32::try_from(rank)?;
    }
    Ok(slots.into_iter().flat_map(u32::to_le_bytes).collect())
}

/// Where a character begins to be of another kind than the one before: its number, and below it the letter of the kind.
fn kinds() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut kinds = vec![OTHER; 0x11_0000];
    for (pattern, letter) in KINDS {
        let class = regex_syntax::parse(pattern)?;
        let HirKind::Class(Class::Unicode(class)) = class.kind() else {
            return Err("no class of characters".into());
        };
        for range in class.iter() {
            let (first, last) = (u32::from(range.start()), u32::from(range.end()));
            let range = usize::try_from(first)?..=usize::try_from(last)?;
            let range = kinds.get_mut(range).ok_or("no such characters")?;
            range.fill(letter);
        }
    }
    let mut changes = Vec::new();
    let mut before = None;
    for (character, letter) in (0_u32..).zip(kinds) {
        if before.replace(letter) != Some(letter) {
            changes.extend((character << 8 | u32::from(letter)).to_le_bytes());
        }
    }
    Ok(changes)
}
