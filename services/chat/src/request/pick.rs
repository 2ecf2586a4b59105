//! Reads a few members of a JSON object and skips the rest, without a tree and without copies. Pure.
//!
//! A member that is read may be there once only: what we check must be what the provider will see, whichever of two it would take.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Which members are read.
#[derive(Clone, Copy)]
pub(crate) struct Pick<const N: usize>(pub(crate) [&'static str; N]);

/// The values found, in the order of the names; `null` is a value.
pub(crate) type Picked<'a, const N: usize> = [Option<&'a RawValue>; N];

/// The same, but for one member, by its place: that is read where it stands, in the same pass over the text.
pub(crate) struct PickAnd<const N: usize, S, R> {
    pub(crate) pick: Pick<N>,
    pub(crate) place: usize,
    /// What reads that member; it must read all of its value, or fail.
    pub(crate) seed: S,
    /// Is shown each member that is not among the names, in their order.
    pub(crate) rest: R,
}

/// For those who look at no other members.
pub(crate) fn unseen(_: &str, _: &RawValue) {}

/// One name: its place among those that are read, or itself.
struct Name<'n>(&'n [&'static str]);

// === impl Pick ===

impl<const N: usize> Pick<N> {
    /// The same, and the other members are shown.
    pub(crate) fn with_rest<R>(self, rest: R) -> PickAnd<N, PhantomData<IgnoredAny>, R> {
        // No member has this place.
        PickAnd {
            pick: self,
            place: N,
            seed: PhantomData,
            rest,
        }
    }

    /// Reads one JSON text.
    ///
    /// # Errors
    /// When the text is not one JSON object, or names a member twice.
    pub(crate) fn read(self, text: &str) -> Result<Picked<'_, N>, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let picked = self.deserialize(&mut reader)?;
        reader.end()?;
        Ok(picked)
    }
}

impl<'de, const N: usize> DeserializeSeed<'de> for Pick<N> {
    type Value = Picked<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Pick<N> {
    type Value = Picked<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let all = self.with_rest(unseen);
        all.visit_map(members).map(|(picked, _)| picked)
    }
}

// === impl PickAnd ===

impl<const N: usize, S, R> PickAnd<N, S, R> {
    /// Reads one JSON text; beside the others, what the one member was read as, if it is there.
    ///
    /// # Errors
    /// As those of [`Pick::read`], or of the one member.
    pub(crate) fn read<'t>(
        self,
        text: &'t str,
    ) -> Result<(Picked<'t, N>, Option<S::Value>), serde_json::Error>
    where
        S: DeserializeSeed<'t>,
        R: FnMut(&str, &'t RawValue),
    {
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_map(self)?;
        reader.end()?;
        Ok(read)
    }
}

impl<'de, const N: usize, S, R> DeserializeSeed<'de> for PickAnd<N, S, R>
where
    S: DeserializeSeed<'de>,
    R: FnMut(&str, &'de RawValue),
{
    type Value = (Picked<'de, N>, Option<S::Value>);

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, const N: usize, S, R> Visitor<'de> for PickAnd<N, S, R>
where
    S: DeserializeSeed<'de>,
    R: FnMut(&str, &'de RawValue),
{
    type Value = (Picked<'de, N>, Option<S::Value>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let twice = || A::Error::custom("a field is given twice");
        let (mut picked, mut seed, mut apart) = ([None; N], Some(self.seed), None);
        while let Some(named) = members.next_key_seed(Name(&self.pick.0))? {
            let place = match named {
                Ok(place) if place == self.place => {
                    let seed = seed.take().ok_or_else(twice)?;
                    apart = Some(members.next_value_seed(seed)?);
                    continue;
                }
                Ok(place) => place,
                Err(other) => {
                    (self.rest)(&other, members.next_value()?);
                    continue;
                }
            };
            let value = Some(members.next_value::<&RawValue>()?);
            let slot = picked.get_mut(place);
            if slot.is_some_and(|slot| std::mem::replace(slot, value).is_some()) {
                return Err(twice());
            }
        }
        Ok((picked, apart))
    }
}

// === impl Name ===

impl Name<'_> {
    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| *known == name)
    }
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Result<usize, Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = Result<usize, Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(self.place(name).ok_or(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.place(name).ok_or_else(|| Cow::Owned(name.to_owned())))
    }
}

/// The text of a JSON string; `None` for any other value. Copied only where it holds escapes.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Where `part` stands in `whole`, of which it must be a slice.
pub(crate) fn span(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start.saturating_add(part.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICK: Pick<2> = Pick(["a", "b"]);

    #[test]
    fn members_are_found_wherever_they_stand_and_however_they_are_written() {
        let text = r#" {"x":{"a":1}, "\u0061" : [ 1 ] ,"b":null} "#;
        let [a, b] = PICK.read(text).unwrap();
        assert_eq!((a.unwrap().get(), b.unwrap().get()), ("[ 1 ]", "null"));
        assert_eq!(text.get(span(text, a.unwrap().get())), Some("[ 1 ]"));
        assert!(PICK.read("{}").unwrap()[0].is_none());
    }

    #[test]
    fn only_one_object_without_repetition_is_read() {
        for text in [
            "[1,2]",
            "null",
            "",
            "{",
            r#"{"a":1}x"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
        ] {
            assert!(PICK.read(text).is_err(), "{text}");
        }
        assert!(PICK.read(r#"{"x":1,"x":2}"#).is_ok());
    }

    #[test]
    fn one_member_is_read_where_it_stands() {
        let read = |text| {
            let seed = PhantomData::<u8>;
            let (picked, apart) = PickAnd {
                pick: PICK,
                place: 1,
                seed,
                rest: unseen,
            }
            .read(text)
            .ok()?;
            Some((picked.map(|raw| raw.map(RawValue::get)), apart))
        };
        let cases = [
            (
                r#"{"b":7,"x":[],"a":[8]}"#,
                Some(([Some("[8]"), None], Some(7))),
            ),
            (r#"{"a":1}"#, Some(([Some("1"), None], None))),
            (r#"{"b":1,"b":1}"#, None),
            (r#"{"a":1,"a":1,"b":1}"#, None),
            (r#"{"b":null}"#, None),
            (r#"{"b":1}x"#, None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn the_other_members_are_shown() {
        let mut seen = Vec::new();
        let rest = |name: &str, raw: &RawValue| seen.push(format!("{name}={raw}"));
        let text = r#"{"x":{"a":1},"a":2,"\u0079":[],"b":3,"x":4}"#;
        PICK.with_rest(rest).read(text).unwrap();
        assert_eq!(seen, [r#"x={"a":1}"#, "y=[]", "x=4"]);
    }

    #[test]
    fn strings_are_unescaped() {
        let string_of = |text: &str| {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            string(raw).map(Cow::into_owned)
        };
        assert_eq!(string_of(r#""user""#).as_deref(), Some("user"));
        assert_eq!(string_of(r#""us\u0065r""#).as_deref(), Some("user"));
        assert_eq!(string_of("7"), None);
    }
}
