//! Customers who hear a sound while it is made. Whoever wants to says so before the task is there, by its id; what a provider then answers in this
//! process is handed to him piece by piece as well.
//!
//! What is heard is no promise: the work goes on whoever listens and however it ends, and what counts is the file that is kept. So nothing waits for
//! who listens, nothing of this is written down, and who is too slow hears no more of it. One account has half of the places, so that it never
//! takes all of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use domain::TaskId;
use prost::bytes::Bytes;
use proto::media::v1::{HeardHead, heard_part::Part};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    config::Outputs,
    files::Owner,
    inputs,
    measure::{self, HEAD_BYTES},
    task::Task,
};

/// Pieces that wait for one who listens, however small they are.
const MAX_PIECES: usize = 1024;
/// What the type of a file begins with that can be heard.
const SOUND: &str = "audio/";

/// All who listen in this process.
#[derive(Clone, Debug)]
pub(crate) struct Listeners {
    /// How many there may be at once.
    most: usize,
    /// Bytes that may wait for one of them.
    bytes: usize,
    all: Arc<Share>,
    shares: Shares,
    waiting: Waiting,
}

/// What some of those who listen have together. It is there as long as one of them is, or something waits for him.
#[derive(Debug)]
struct Share {
    /// How many may be told something.
    places: Arc<Semaphore>,
    /// A permit is a byte that may wait.
    bytes: Arc<Semaphore>,
}

/// Those of accounts for which somebody listens.
type Shares = Arc<Mutex<HashMap<Owner, Weak<Share>>>>;

/// Those who have not heard anything yet, by the task that they wait for.
type Waiting = Arc<Mutex<HashMap<TaskId, Listener>>>;

/// What somebody wants to hear: something else is of no use to him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// What comes as a file.
    File,
    /// Samples without a header.
    Samples,
}

/// Somebody who has not heard anything yet.
#[derive(Debug)]
struct Listener {
    owner: Owner,
    wants: Wants,
    line: Line,
}

/// The way to somebody who listens.
#[derive(Debug)]
struct Line {
    pieces: mpsc::Sender<(Part, Rooms)>,
    /// A permit is a byte that may wait.
    room: Arc<Semaphore>,
    /// Given back once nothing more is told: who reads slowly keeps no place.
    _places: [OwnedSemaphorePermit; 2],
    /// His own share, and that of all.
    shares: [Arc<Share>; 2],
}

/// What a piece takes while it waits: of who listens, and of both shares.
type Rooms = [OwnedSemaphorePermit; 3];

/// The ear of who listens.
#[derive(Debug)]
pub(crate) struct Listening {
    task: TaskId,
    pieces: mpsc::Receiver<(Part, Rooms)>,
    room: Arc<Semaphore>,
    waiting: Waiting,
    /// Pieces that wait are of it.
    _share: Arc<Share>,
}

/// Who listens to one attempt of a task, for the adapter that makes it.
#[derive(Debug)]
pub(crate) struct Ear {
    task: TaskId,
    attempt: u32,
    wants: Wants,
    waiting: Waiting,
}

/// A sound that is told.
#[derive(Debug)]
pub(crate) struct Telling<'e> {
    ear: &'e Ear,
    stage: Stage,
}

/// How far it is told.
#[derive(Debug)]
enum Stage {
    /// What has come does not say what it is.
    Unknown,
    /// Somebody hears it.
    Told(Line),
    /// Nobody hears any more of it.
    Over,
}

// === impl Listeners ===

impl Listeners {
    pub(crate) fn new(limits: &Outputs) -> Self {
        let (most, bytes) = (limits.listeners, limits.listener_bytes);
        Self {
            most,
            bytes: bytes.min(Semaphore::MAX_PERMITS),
            all: Arc::new(Share::of(most, bytes)),
            shares: Shares::default(),
            waiting: Waiting::default(),
        }
    }

    /// Somebody wants to hear a task of his that is not there yet. `None`: too many do, of all or of his account, or somebody listens to it already.
    pub(crate) fn listen(&self, owner: Owner, task: TaskId, wants: Wants) -> Option<Listening> {
        let share = self.share(owner);
        let places = [share.place()?, self.all.place()?];
        let (sender, pieces) = mpsc::channel(MAX_PIECES);
        let room = Arc::new(Semaphore::new(self.bytes));
        let line = Line {
            pieces: sender,
            room: Arc::clone(&room),
            _places: places,
            shares: [Arc::clone(&share), Arc::clone(&self.all)],
        };
        match lock(&self.waiting).entry(task) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => free.insert(Listener { owner, wants, line }),
        };
        Some(Listening {
            task,
            pieces,
            room,
            waiting: Arc::clone(&self.waiting),
            _share: share,
        })
    }

    /// The share of an account in a mode: half of what there is, and one place at least.
    fn share(&self, owner: Owner) -> Arc<Share> {
        let mut shares = lock(&self.shares);
        if let Some(share) = shares.get(&owner).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share::of(self.most.div_ceil(2), self.bytes));
        shares.insert(owner, Arc::downgrade(&share));
        share
    }

    /// Who listens to this attempt of a task, if somebody does whose task it is.
    pub(crate) fn ear(&self, task: &Task) -> Option<Ear> {
        let waiting = lock(&self.waiting);
        let listener = waiting.get(&task.id)?;
        (listener.owner == inputs::owner(task)).then(|| Ear {
            task: task.id,
            attempt: u32::try_from(task.attempts).unwrap_or(u32::MAX),
            wants: listener.wants,
            waiting: Arc::clone(&self.waiting),
        })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Share ===

impl Share {
    /// So many places, and so many bytes for each of them.
    fn of(places: usize, bytes: usize) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            places: permits(places),
            bytes: permits(places.saturating_mul(bytes)),
        }
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}

// === impl Ear ===

impl Ear {
    /// Whether this is what he wants to hear.
    pub(crate) fn wants(&self, what: Wants) -> bool {
        self.wants == what
    }

    /// Begins to tell him what he wants to hear.
    pub(crate) const fn telling(&self) -> Telling<'_> {
        Telling {
            ear: self,
            stage: Stage::Unknown,
        }
    }

    /// He hears this attempt, and none after it.
    fn line(&self) -> Option<Line> {
        lock(&self.waiting)
            .remove(&self.task)
            .map(|listener| listener.line)
    }
}

// === impl Telling ===

impl Telling<'_> {
    /// A piece has come, with which `whole` ends. The first that is told is all that had come until it was known that this is a sound.
    pub(crate) fn tell(&mut self, whole: &[u8], piece: Bytes) {
        let is_told = match &self.stage {
            Stage::Over => return,
            Stage::Told(line) => line.say(Part::Data(piece)),
            Stage::Unknown => {
                let Some(content_type) = self.content_type(whole) else {
                    if whole.len() >= HEAD_BYTES {
                        self.stage = Stage::Over;
                    }
                    return;
                };
                let Some(line) = self.ear.line() else {
                    self.stage = Stage::Over;
                    return;
                };
                let head = HeardHead {
                    content_type,
                    attempt: self.ear.attempt,
                };
                let first = Part::Data(Bytes::copy_from_slice(whole));
                let is_told = line.say(Part::Head(head)) && line.say(first);
                self.stage = Stage::Told(line);
                is_told
            }
        };
        if !is_told {
            self.stage = Stage::Over;
        }
    }

    /// What will be said of the file that begins so, once it is kept; `None`: it is no sound, or does not say yet.
    fn content_type(&self, whole: &[u8]) -> Option<String> {
        match self.ear.wants {
            Wants::Samples => Some(String::new()),
            Wants::File => {
                let head = whole.get(..HEAD_BYTES).unwrap_or(whole);
                let kind = measure::content_type(head).filter(|kind| kind.starts_with(SOUND));
                kind.map(str::to_owned)
            }
        }
    }
}

// === impl Line ===

impl Line {
    /// Without waiting. `false`: he is gone, or too slow.
    fn say(&self, part: Part) -> bool {
        let bytes = match &part {
            Part::Head(_) => 0,
            Part::Data(piece) => piece.len(),
        };
        let rooms = u32::try_from(bytes).ok().and_then(|bytes| self.take(bytes));
        rooms.is_some_and(|rooms| self.pieces.try_send((part, rooms)).is_ok())
    }

    /// Room for so many bytes.
    fn take(&self, bytes: u32) -> Option<Rooms> {
        let take = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(bytes).ok();
        let [own, all] = &self.shares;
        Some([take(&self.room)?, take(&own.bytes)?, take(&all.bytes)?])
    }
}

// === impl Listening ===

impl Listening {
    /// What is heard next; `None`: nothing more.
    pub(crate) async fn next(&mut self) -> Option<Part> {
        let (part, _rooms) = self.pieces.recv().await?;
        Some(part)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        let is_ours = |listener: &Listener| Arc::ptr_eq(&listener.line.room, &self.room);
        if waiting.get(&self.task).is_some_and(is_ours) {
            waiting.remove(&self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Mode;

    use super::*;

    const MP3: &[u8] = b"ID3\x04 a sound";

    fn listeners(most: usize, bytes: usize) -> Listeners {
        Listeners::new(&Outputs {
            listeners: most,
            listener_bytes: bytes,
            ..Outputs::default()
        })
    }

    fn owner() -> Owner {
        Owner {
            account: chassis::mint(),
            mode: Mode::Test,
        }
    }

    fn ear(listeners: &Listeners, task: TaskId, wants: Wants) -> Ear {
        Ear {
            task,
            attempt: 2,
            wants,
            waiting: Arc::clone(&listeners.waiting),
        }
    }

    /// Tells a sound in these pieces.
    fn tell(telling: &mut Telling<'_>, pieces: &[&[u8]]) {
        let mut whole = Vec::new();
        for piece in pieces {
            whole.extend_from_slice(piece);
            telling.tell(&whole, Bytes::copy_from_slice(piece));
        }
    }

    /// All that is heard once nobody tells any more: the head, and the pieces.
    async fn heard(mut listening: Listening) -> (Option<HeardHead>, Vec<Bytes>) {
        let (mut head, mut pieces) = (None, Vec::new());
        while let Some(part) = listening.next().await {
            match part {
                Part::Head(told) => head = Some(told),
                Part::Data(piece) => pieces.push(piece),
            }
        }
        (head, pieces)
    }

    #[tokio::test]
    async fn a_sound_is_heard_from_where_it_is_known_to_be_one() {
        let listeners = listeners(1, 1_000);
        for (wants, pieces, content_type, expected) in [
            (
                Wants::File,
                [&MP3[..1], &MP3[1..2], &MP3[2..], b"more"],
                "audio/mpeg",
                vec![MP3, b"more"],
            ),
            (
                Wants::Samples,
                [&[0], &[1], &[2, 3], &[4]],
                "",
                vec![&[0][..], &[1], &[2, 3], &[4]],
            ),
        ] {
            let task = chassis::mint();
            let listening = listeners.listen(owner(), task, wants).unwrap();
            let ear = ear(&listeners, task, wants);
            let mut telling = ear.telling();
            tell(&mut telling, &pieces);
            drop(telling);
            let (head, heard) = heard(listening).await;
            let head = head.unwrap();
            assert_eq!(
                (head.content_type.as_str(), head.attempt),
                (content_type, 2)
            );
            assert_eq!(heard, expected);
        }
    }

    #[tokio::test]
    async fn what_is_no_sound_is_not_heard() {
        let listeners = listeners(1, 10_000);
        let task = chassis::mint();
        let listening = listeners.listen(owner(), task, Wants::File).unwrap();
        let ear = ear(&listeners, task, Wants::File);
        let mut telling = ear.telling();
        let png = b"\x89PNG\r\n\x1a\n".as_slice();
        tell(&mut telling, &[png, &[0; HEAD_BYTES], MP3]);
        assert!(matches!(telling.stage, Stage::Over));
        assert!(lock(&listeners.waiting).contains_key(&task));
        drop(listening);
        assert!(lock(&listeners.waiting).is_empty());
    }

    #[tokio::test]
    async fn who_is_too_slow_or_gone_hears_no_more() {
        let listeners = listeners(1, MP3.len() + 1);
        let task = chassis::mint();
        let listening = listeners.listen(owner(), task, Wants::File).unwrap();
        let ear = ear(&listeners, task, Wants::File);
        let mut telling = ear.telling();
        tell(&mut telling, &[MP3, b"a", b"b", b"c"]);
        assert!(matches!(telling.stage, Stage::Over));
        let (_, pieces) = heard(listening).await;
        assert_eq!(pieces, [MP3, b"a"]);
        let listening = listeners.listen(owner(), task, Wants::File).unwrap();
        let mut telling = ear.telling();
        tell(&mut telling, &[MP3]);
        drop(listening);
        telling.tell(MP3, Bytes::from_static(b"more"));
        assert!(matches!(telling.stage, Stage::Over));
    }

    #[tokio::test]
    async fn there_is_one_for_a_task_and_so_many_at_once() {
        let listeners = listeners(2, 10);
        let (one, other) = (chassis::mint(), chassis::mint());
        let listen = |task| listeners.listen(owner(), task, Wants::File);
        let first = listen(one).unwrap();
        assert!(listen(one).is_none(), "somebody listens to it");
        let second = listen(other).unwrap();
        assert!(listen(chassis::mint()).is_none(), "all places are taken");
        drop((first, second));
        assert!(listen(one).is_some());
    }

    #[tokio::test]
    async fn one_account_leaves_half_of_the_places_to_others() {
        let listeners = listeners(4, 10);
        let (one, other) = (owner(), owner());
        let listen = |owner| listeners.listen(owner, chassis::mint(), Wants::File);
        let (first, second) = (listen(one).unwrap(), listen(one).unwrap());
        assert!(listen(one).is_none(), "its share is taken");
        let others = [listen(other).unwrap(), listen(other).unwrap()];
        drop(first);
        let third = listen(one).unwrap();
        assert!(listen(one).is_none(), "its share is taken again");
        drop((second, third, others));
        let last = listen(owner()).unwrap();
        assert_eq!(lock(&listeners.shares).len(), 1, "who is gone is forgotten");
        drop(last);
    }

    #[tokio::test]
    async fn who_hears_nothing_more_gives_his_place_back_and_keeps_what_waits() {
        let listeners = listeners(1, MP3.len());
        let (one, other) = (chassis::mint(), chassis::mint());
        let slow = listeners.listen(owner(), one, Wants::File).unwrap();
        let ear_of_one = ear(&listeners, one, Wants::File);
        let mut telling = ear_of_one.telling();
        tell(&mut telling, &[MP3]);
        let listen = |task| listeners.listen(owner(), task, Wants::File);
        assert!(listen(other).is_none(), "he is told more");
        tell(&mut telling, &[b"too much"]);
        let waits = listen(other).unwrap();
        // The bytes for all wait for the slow one.
        let ear_of_other = ear(&listeners, other, Wants::File);
        let mut telling = ear_of_other.telling();
        tell(&mut telling, &[MP3]);
        assert!(matches!(telling.stage, Stage::Over));
        assert!(heard(waits).await.1.is_empty());
        assert_eq!(heard(slow).await.1, [MP3]);
        let hears = listen(other).unwrap();
        let mut telling = ear_of_other.telling();
        tell(&mut telling, &[MP3]);
        drop(telling);
        assert_eq!(heard(hears).await.1, [MP3]);
    }
}
