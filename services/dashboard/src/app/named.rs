//! What keys are called, for pages that show what was done with them.

use std::collections::HashMap;

use domain::KeyId;
use proto::billing::v1::{Key, ListKeysRequest};
use tonic::Status;

use crate::{Site, refused::Refused, who::Member};

/// Keys that are asked for: as many as one answer holds. What is beyond shows its id.
const MOST: u32 = 1_000;
/// The last characters of an id, which tell one from another.
const TAIL: usize = 6;

/// An account's keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// Id, name.
    named: Vec<(KeyId, String)>,
    /// Whether there may be more than these.
    is_cut: bool,
}

impl Keys {
    /// Asks for them.
    ///
    /// # Errors
    /// What billing refuses, or that it does not answer.
    pub(crate) async fn ask<N>(site: &Site, member: &Member<N>) -> Result<Self, Refused> {
        let mut keys = site.peers.keys.clone();
        let reply = keys.list_keys(site.peers.ask(request(member))).await;
        Ok(Self::of(reply.map(|reply| reply.into_inner().keys))?)
    }

    /// Of an answer.
    ///
    /// # Errors
    /// Why there was none.
    pub(crate) fn of(keys: Result<Vec<Key>, Status>) -> Result<Self, Status> {
        let keys = keys?;
        let is_cut = usize::try_from(MOST).is_ok_and(|most| keys.len() >= most);
        let named = keys.into_iter().filter_map(|key| {
            let id = KeyId::from_slice(&key.key_id)?;
            let name = match key.name.is_empty() {
                true => format!("…{}", key.last_four),
                false => key.name,
            };
            Some((id, name))
        });
        let mut named: Vec<(KeyId, String)> = named.collect();
        tell_apart(&mut named);
        Ok(Self { named, is_cut })
    }

    /// Every key: id, name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        self.named
            .iter()
            .map(|(id, name)| (id.to_string(), name.as_str()))
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// What the key with this id, as services tell it, is called. One that was revoked is called by the end of its id; so is one that is
    /// not told of as there are too many, which need not be revoked.
    pub(crate) fn name(&self, id: &[u8]) -> String {
        let Some(id) = KeyId::from_slice(id) else {
            return "No key".to_owned();
        };
        let mut known = self.named.iter();
        if let Some((_, name)) = known.find(|(known, _)| *known == id) {
            return name.clone();
        }
        let tail = tail(id);
        match self.is_cut {
            true => format!("Key {tail}"),
            false => format!("Revoked ({tail})"),
        }
    }
}

/// The end of an id.
fn tail(id: KeyId) -> String {
    let text = id.to_string();
    let start = text.len().saturating_sub(TAIL);
    format!("…{}", text.get(start..).unwrap_or_default())
}

/// Adds the ends of their ids to keys of the same name, such as those of everybody's playground.
fn tell_apart(named: &mut [(KeyId, String)]) {
    let mut times: HashMap<String, usize> = HashMap::new();
    for (_, name) in named.iter() {
        let times = times.entry(name.clone()).or_default();
        *times = times.saturating_add(1);
    }
    for (id, name) in named {
        if times.get(name.as_str()).is_some_and(|times| *times > 1) {
            *name = format!("{name} ({})", tail(*id));
        }
    }
}

/// The question.
pub(crate) fn request<N>(member: &Member<N>) -> ListKeysRequest {
    ListKeysRequest {
        context: Some(member.context()),
        limit: MOST,
        ..ListKeysRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names() {
        let (own, other): (KeyId, KeyId) = (chassis::mint(), chassis::mint());
        let key = |id: KeyId, name: &str| Key {
            key_id: id.to_vec().into(),
            name: name.to_owned(),
            last_four: "wxyz".to_owned(),
            ..Key::default()
        };
        let keys = Keys::of(Ok(vec![key(own, "shop"), key(other, "")])).unwrap();
        assert_eq!(keys.name(&own.to_bytes()), "shop");
        assert_eq!(keys.name(&other.to_bytes()), "…wxyz");
        assert_eq!(keys.name(&[]), "No key");
        let gone: KeyId = chassis::mint();
        let (text, name) = (gone.to_string(), keys.name(&gone.to_bytes()));
        assert_eq!(name, format!("Revoked (…{})", &text[text.len() - 6..]));
        assert_eq!(keys.iter().next(), Some((own.to_string(), "shop")));

        let same = Keys::of(Ok(vec![key(own, "shop"), key(other, "shop")])).unwrap();
        for id in [own, other] {
            let name = format!("shop ({})", tail(id));
            assert_eq!(same.name(&id.to_bytes()), name);
        }
        // A full answer does not tell of every key.
        let many = (0..MOST).map(|place| key(chassis::mint(), &place.to_string()));
        let many = Keys::of(Ok(many.collect())).unwrap();
        let name = format!("Key …{}", &text[text.len() - 6..]);
        assert_eq!(many.name(&gone.to_bytes()), name);
    }
}
