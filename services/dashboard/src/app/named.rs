//! What keys are called, for pages that show what was done with them.

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
pub(crate) struct Keys(Vec<(KeyId, String)>);

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
        let named = keys?.into_iter().filter_map(|key| {
            let id = KeyId::from_slice(&key.key_id)?;
            let name = match key.name.is_empty() {
                true => format!("…{}", key.last_four),
                false => key.name,
            };
            Some((id, name))
        });
        Ok(Self(named.collect()))
    }

    /// Every key: id, name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (String, &str)> {
        self.0
            .iter()
            .map(|(id, name)| (id.to_string(), name.as_str()))
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the key with this id, as services tell it, is called. One that was revoked is called by the end of its id.
    pub(crate) fn name(&self, id: &[u8]) -> String {
        let Some(id) = KeyId::from_slice(id) else {
            return "No key".to_owned();
        };
        let mut known = self.0.iter();
        if let Some((_, name)) = known.find(|(known, _)| *known == id) {
            return name.clone();
        }
        let text = id.to_string();
        let tail = text.len().saturating_sub(TAIL);
        format!("Revoked (…{})", text.get(tail..).unwrap_or_default())
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
    }
}
