//! Ids: 128 bits, time-ordered (UUIDv7), written as TypeID: a prefix, `_`, and 26 characters of Crockford base32.
//! Ids are minted in `chassis`, which has a clock; here they are only read, written and told apart.

use std::{fmt, hash, marker::PhantomData};

use uuid::Uuid;

/// Crockford's base32 in lower case, as TypeID writes it (jetify-com/typeid, spec 0.3).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits in groups of five.
const SUFFIX_LEN: usize = 26;

/// What an id names. One marker type per prefix, so that mixing two ids does not compile.
pub trait Kind: 'static {
    /// The prefix customers see.
    const PREFIX: &'static str;
}

/// An id of one kind.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $alias:ident $prefix:literal)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $kind {}
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )* };
}

kinds! {
    /// An account: two balances, its keys, its work.
    Account AccountId "acct"
    /// An API key.
    Key KeyId "key"
    /// A pack of credit that somebody buys.
    Order OrderId "ord"
    /// A code that is worth credit; not the code itself.
    Code RedeemCodeId "code"
    /// A paid request; also its hold.
    Operation OperationId "op"
    /// A media task; the same 128 bits as its operation and hold.
    Task TaskId "task"
    /// A file that a customer has uploaded.
    File FileId "file"
    /// An event told to customers.
    Event EventId "evt"
    /// A URL that an account has registered for events.
    Endpoint EndpointId "ep"
    /// The delivery of one event to one endpoint.
    Delivery DeliveryId "dlv"
    /// A person who signs in to the dashboard.
    User UserId "usr"
}

// === impl Id ===

impl<K: Kind> Id<K> {
    /// The id of nobody: sixteen zeros.
    pub const NIL: Self = Self::from_uuid(Uuid::nil());

    /// Wraps a UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self {
            uuid,
            kind: PhantomData,
        }
    }

    /// Reads the 16 bytes kept in SQL and on the wire; `None` when there are not 16.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self::from_uuid)
    }

    /// The 16 bytes kept in SQL and on the wire.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.uuid.into_bytes()
    }

    /// The 16 bytes as SQL takes them.
    pub fn to_vec(self) -> Vec<u8> {
        self.to_bytes().to_vec()
    }

    /// The same 128 bits under another name: an operation is its hold and its task.
    pub const fn cast<L: Kind>(self) -> Id<L> {
        Id::from_uuid(self.uuid)
    }

    /// Reads `prefix_` and 26 characters; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let suffix = text.strip_prefix(K::PREFIX)?.strip_prefix('_')?;
        if suffix.len() != SUFFIX_LEN {
            return None;
        }
        let mut bits: u128 = 0;
        for (position, character) in suffix.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|known| *known == character)?;
            // 26 × 5 = 130 bits: the first character may hold only the three that are left.
            if position == 0 && digit > 7 {
                return None;
            }
            bits = bits.checked_shl(5)? | u128::try_from(digit).ok()?;
        }
        Some(Self::from_uuid(Uuid::from_u128(bits)))
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.uuid.as_u128();
        write!(f, "{}_", K::PREFIX)?;
        for shift in (0..130).step_by(5).rev() {
            let digit = usize::try_from(bits.checked_shr(shift).unwrap_or(0) & 31).unwrap_or(0);
            let character = ALPHABET.get(digit).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(character))?;
        }
        Ok(())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_vectors_of_the_typeid_specification() {
        let check = |suffix: &str, uuid: &str| {
            let id = TaskId::from_uuid(uuid.parse().unwrap());
            assert_eq!(id.to_string(), format!("task_{suffix}"));
            assert_eq!(TaskId::parse(&format!("task_{suffix}")), Some(id));
        };
        check(
            "00000000000000000000000000",
            "00000000-0000-0000-0000-000000000000",
        );
        check(
            "0000000000000000000000000a",
            "00000000-0000-0000-0000-00000000000a",
        );
        check(
            "7zzzzzzzzzzzzzzzzzzzzzzzzz",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        );
        check(
            "01h455vb4pex5vsknk084sn02q",
            "01890a5d-ac96-774b-bcce-b302099a8057",
        );
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in [
            "",
            "task_",
            "task_abc123",
            "op_01h455vb4pex5vsknk084sn02q",
            "task_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "task_01H455VB4PEX5VSKNK084SN02Q",
            "task_01h455vb4pex5vsknk084sn02q0",
            "task_01h455vb4pex5vsknk084sn02é",
        ] {
            assert_eq!(TaskId::parse(text), None, "{text}");
        }
    }
}
