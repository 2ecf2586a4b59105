//! How lists are written: also as one comma-separated string, which is all that an environment variable can hold.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// A list, or its items in one string, separated by commas.
pub(crate) fn list<'de, D, T>(input: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    input.deserialize_any(ListVisitor(PhantomData))
}

/// As [`list`], of networks; a plain address is the network that holds only it.
pub(crate) fn networks<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<IpNet>, D::Error> {
    let items: Vec<Network> = list(input)?;
    Ok(items.into_iter().map(|Network(net)| net).collect())
}

struct Network(IpNet);

struct ListVisitor<T>(PhantomData<T>);

// === impl Network ===

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self(net.trunc()));
        }
        text.parse::<IpAddr>()
            .map(|address| Self(IpNet::from(address)))
            .map_err(|_| "not an address range: write one such as 127.0.0.1/32 or fd00::/8")
    }
}

// === impl ListVisitor ===

impl<'de, T> Visitor<'de> for ListVisitor<T>
where
    T: FromStr<Err: fmt::Display>,
{
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list, or one string with commas between the items")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(parse)
            .collect()
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Vec<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Vec<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(Item(text)) = items.next_element()? {
            values.push(parse::<T, A::Error>(&text)?);
        }
        Ok(values)
    }
}

/// One item of a list: a string, or a number as a configuration file writes it.
struct Item(String);

impl<'de> serde::Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl Visitor<'_> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a string or a whole number")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item(text.to_owned()))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Item, E> {
        Ok(Item(number.to_string()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Item, E> {
        Ok(Item(number.to_string()))
    }
}

fn parse<T, E>(text: &str) -> Result<T, E>
where
    T: FromStr<Err: fmt::Display>,
    E: serde::de::Error,
{
    text.parse()
        .map_err(|error: T::Err| E::custom(format!("`{text}`: {error}")))
}
