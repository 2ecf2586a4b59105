//! How a snapshot lies in Redis: sealed as a whole, for its task alone. Whoever reads or writes Redis without our key learns
//! nothing of it and cannot make another.

use bytes::Bytes;
use chassis::secrets::Sealer;
use domain::{Id, Mode, TaskId};

use crate::{TaskSnapshot, Terminal};

/// The first byte of what is sealed: how the rest is to be read.
const FORMAT: u8 = 1;
/// Format, account, mode, end, version.
const HEAD: usize = 1 + 16 + 1 + 1 + 8;

/// Seals a snapshot; `None` when it is too large for that, which none is.
pub(super) fn seal(sealer: &Sealer, snapshot: &TaskSnapshot) -> Option<Vec<u8>> {
    let mode = match snapshot.mode {
        Mode::Test => 0,
        Mode::Live => 1,
    };
    let end = match snapshot.terminal {
        Terminal::Open => 0,
        Terminal::Ended => 1,
    };
    let mut plain = Vec::with_capacity(HEAD.saturating_add(snapshot.view.len()));
    plain.push(FORMAT);
    plain.extend(snapshot.account.to_bytes());
    plain.extend([mode, end]);
    plain.extend(snapshot.version.to_be_bytes());
    plain.extend_from_slice(&snapshot.view);
    sealer.seal(&place(snapshot.task), &plain).ok()
}

/// Opens a snapshot; `None` when it is not one of ours, of this task, in a format that we know.
pub(super) fn open(sealer: &Sealer, task: TaskId, sealed: &[u8]) -> Option<TaskSnapshot> {
    let plain = Bytes::from(sealer.open(&place(task), sealed).ok()?);
    let (format, rest) = plain.split_first_chunk::<1>()?;
    let (account, rest) = rest.split_first_chunk::<16>()?;
    let (flags, rest) = rest.split_first_chunk::<2>()?;
    let (version, _view) = rest.split_first_chunk::<8>()?;
    if *format != [FORMAT] {
        return None;
    }
    let [mode, end] = flags;
    Some(TaskSnapshot {
        task,
        account: Id::from_slice(account)?,
        mode: match mode {
            0 => Mode::Test,
            1 => Mode::Live,
            _ => return None,
        },
        version: i64::from_be_bytes(*version),
        terminal: match end {
            0 => Terminal::Open,
            1 => Terminal::Ended,
            _ => return None,
        },
        view: plain.slice(HEAD..),
    })
}

/// A version as text that compares as the number does: twenty digits, counted from the least there is.
pub(super) fn version_text(version: i64) -> String {
    format!("{:020}", version.abs_diff(i64::MIN))
}

/// The one place where the snapshot of a task may lie.
fn place(task: TaskId) -> Vec<u8> {
    format!("live/task/{task}").into_bytes()
}

#[cfg(test)]
mod tests {
    use chassis::secrets::Secrets;

    use super::*;

    fn snapshot() -> TaskSnapshot {
        TaskSnapshot {
            task: Id::from_slice(&[1; 16]).unwrap(),
            account: Id::from_slice(&[2; 16]).unwrap(),
            mode: Mode::Live,
            version: -3,
            terminal: Terminal::Ended,
            view: Bytes::from_static(b"a fox"),
        }
    }

    #[test]
    fn a_snapshot_opens_for_its_task_and_with_its_key() {
        let secrets = Secrets::random();
        let sealer = secrets.content();
        let sealed = seal(sealer, &snapshot()).unwrap();
        let task = snapshot().task;
        assert_eq!(open(sealer, task, &sealed), Some(snapshot()));
        let other = Id::from_slice(&[9; 16]).unwrap();
        assert_eq!(open(sealer, other, &sealed), None);
        assert_eq!(open(Secrets::random().content(), task, &sealed), None);
        assert_eq!(open(sealer, task, b"short"), None);
    }

    #[test]
    fn what_was_sealed_but_is_no_snapshot_is_none() {
        let secrets = Secrets::random();
        let task = snapshot().task;
        for plain in [vec![], vec![FORMAT; HEAD - 1], vec![9; HEAD]] {
            let sealed = secrets.content().seal(&place(task), &plain).unwrap();
            assert_eq!(open(secrets.content(), task, &sealed), None);
        }
    }

    #[test]
    fn versions_compare_as_texts() {
        let versions = [i64::MIN, -1, 0, 1, 9, 10, 1 << 53, (1 << 53) + 1, i64::MAX];
        let texts = versions.map(version_text);
        assert!(texts.is_sorted_by(|a, b| a < b), "{texts:?}");
        assert!(texts.iter().all(|text| text.len() == 20));
    }
}
