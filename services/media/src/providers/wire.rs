//! What the wires of several providers have in common: a key in a header, JSON there and back, places below an address, inputs inline.
//! Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Secret;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value};
use upstream::{Class, Failure, Verdict};
use url::Url;

use super::Access;

/// What begins a URL that is a file itself.
const DATA: &str = "data:";
/// What stands before the bytes of such a file.
const BASE64: &str = ";base64,";

/// A file inside of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inline<'a> {
    pub(super) content_type: &'a str,
    /// In base64.
    pub(super) bytes: &'a str,
}

/// Our headers, with the key as a bearer's.
pub(super) fn bearer(access: &Access) -> HeaderMap {
    keyed(access, AUTHORIZATION, "Bearer ")
}

/// Our headers, with the key behind these words in this one. The operator's own stand in the place of ours.
pub(super) fn keyed(access: &Access, name: HeaderName, before: &str) -> HeaderMap {
    let mut headers = access.headers.clone();
    let key = access.key.as_ref().map(Secret::expose);
    let value = key.map(|key| HeaderValue::from_str(&format!("{before}{key}")));
    if let Some(Ok(mut value)) = value {
        value.set_sensitive(true);
        headers.entry(name).or_insert(value);
    }
    headers
}

/// The same headers, for a body of JSON.
pub(super) fn with_json(mut headers: HeaderMap) -> HeaderMap {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// A place below a provider's address, to submit to.
pub(super) fn place(base: &Url, path: &str) -> Result<Url, Failure> {
    let not_sent = |_| Failure::reported(Verdict::of(Class::NotSent));
    base.join(path).map_err(not_sent)
}

/// A place below a provider's address whose last part is a name, whatever stands in it.
pub(super) fn named(base: &Url, path: &str, name: &str) -> Option<Url> {
    let mut url = base.join(path).ok()?;
    url.path_segments_mut().ok()?.pop_if_empty().push(name);
    Some(url)
}

/// What an answer says.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], wrong: &'static str) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| Failure::malformed(wrong))
}

/// Reads what is only nice to know: where it is not as we know it, it is nothing, and the answer that it stands in is not lost for it.
///
/// # Errors
/// When it is no JSON.
pub(super) fn lenient<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A whole number, or a text of one: which it is, some of them do not always keep to.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// Reads such a number, that has to be there.
///
/// # Errors
/// When it is none.
pub(super) fn number<'de, D>(from: D) -> Result<i64, D::Error>
where
    D: Deserializer<'de>,
{
    let value = Value::deserialize(from)?;
    whole(&value).ok_or_else(|| D::Error::custom("it is no whole number"))
}

/// As [`lenient`], for such a number.
///
/// # Errors
/// When it is no JSON.
pub(super) fn lenient_number<'de, D>(from: D) -> Result<Option<i64>, D::Error>
where
    D: Deserializer<'de>,
{
    let value = Value::deserialize(from)?;
    Ok(whole(&value))
}

/// What a URL is that is a file itself.
pub(super) fn inline(url: &str) -> Option<Inline<'_>> {
    let (content_type, bytes) = url.strip_prefix(DATA)?.split_once(BASE64)?;
    Some(Inline {
        content_type,
        bytes,
    })
}

/// A file that came inside of an answer, in base64, as a URL. It may be large: there is only one of it.
pub(super) fn data_url(content_type: &str, mut bytes: String) -> String {
    let before = format!("{DATA}{content_type}{BASE64}");
    bytes.reserve_exact(before.len());
    bytes.insert_str(0, &before);
    bytes
}

/// Bytes as a URL. They may be many: there is only one text of them.
pub(super) fn encoded(content_type: &str, bytes: &[u8]) -> String {
    let before = [DATA, content_type, BASE64];
    let letters = base64::encoded_len(bytes.len(), true).unwrap_or_default();
    let length = before.iter().map(|part| part.len()).sum::<usize>();
    let mut url = String::with_capacity(length.saturating_add(letters));
    url.extend(before);
    STANDARD.encode_string(bytes, &mut url);
    url
}

/// The texts of a parameter: one, or a list of them.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map(Vec::as_slice);
    let items = list.unwrap_or_else(|| std::slice::from_ref(value));
    items.iter().filter_map(Value::as_str).collect()
}

/// Takes the texts of a parameter out of what is sent.
pub(super) fn take_texts(parameters: &mut Map<String, Value>, name: &str) -> Vec<String> {
    let taken = parameters.remove(name).unwrap_or_default();
    texts(&taken).into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::for_tests::access;

    #[test]
    fn the_operators_headers_stand_in_the_place_of_ours() {
        let mut access = access("http://p.example/v1/");
        assert_eq!(bearer(&access)[AUTHORIZATION], "Bearer k3y");
        let name = HeaderName::from_static("api-key");
        assert_eq!(keyed(&access, name.clone(), "")[&name], "k3y");
        let own = HeaderValue::from_static("Token own");
        access.headers.insert(AUTHORIZATION, own);
        assert_eq!(bearer(&access)[AUTHORIZATION], "Token own");
        access.key = None;
        assert!(keyed(&access, name.clone(), "").get(&name).is_none());
    }

    #[test]
    fn a_name_is_a_name_whatever_stands_in_it() {
        let base = Url::parse("http://p.example/v1/").unwrap();
        let url = |name| named(&base, "videos", name).unwrap().to_string();
        assert_eq!(url("a-1"), "http://p.example/v1/videos/a-1");
        assert_eq!(url("a/b?c"), "http://p.example/v1/videos/a%2Fb%3Fc");
        assert_eq!(url(".."), "http://p.example/v1/videos");
        let placed = place(&base, "models/m-1:generateContent").unwrap();
        assert_eq!(placed.path(), "/v1/models/m-1:generateContent");
    }

    #[test]
    fn a_file_may_stand_in_its_url() {
        let file = Inline {
            content_type: "image/png",
            bytes: "AAEC",
        };
        let url = data_url(file.content_type, file.bytes.to_owned());
        assert_eq!(url, "data:image/png;base64,AAEC");
        assert_eq!(inline("data:image/png;base64,AAEC"), Some(file));
        for bytes in [&[0, 1, 2][..], &[0; 10_000]] {
            let url = encoded("image/png", bytes);
            let read = inline(&url).unwrap();
            assert_eq!(read.content_type, "image/png");
            assert_eq!(STANDARD.decode(read.bytes).unwrap(), bytes);
            assert_eq!(url.capacity(), url.len(), "it was written into one place");
        }
        assert_eq!(inline("https://a.example/1;base64,x"), None);
        assert_eq!(inline("data:image/png,AAEC"), None);
    }

    #[test]
    fn what_is_only_nice_to_know_loses_no_answer() {
        #[derive(serde::Deserialize)]
        struct Answer {
            url: String,
            #[serde(default, deserialize_with = "lenient_number")]
            cost: Option<i64>,
            #[serde(default, deserialize_with = "lenient")]
            words: String,
            #[serde(default, deserialize_with = "lenient")]
            list: Vec<i64>,
        }
        for (cost, read) in [
            ("7", Some(7)),
            ("null", None),
            ("\"7\"", Some(7)),
            ("\"seven\"", None),
            ("7.5", None),
            ("[7]", None),
        ] {
            let body = format!(r#"{{"cost":{cost},"url":"u","words":null,"list":null}}"#);
            let answer: Answer = read_of(&body);
            assert_eq!((answer.url.as_str(), answer.cost), ("u", read), "{body}");
            assert!(answer.words.is_empty() && answer.list.is_empty());
        }
        let answer: Answer = read_of(r#"{"url":"u","words":"w","list":[1]}"#);
        assert_eq!((answer.words.as_str(), answer.list), ("w", vec![1]));
        assert_eq!(answer.cost, None);
    }

    #[test]
    fn a_number_may_be_a_text() {
        #[derive(Debug, serde::Deserialize)]
        struct Answer {
            #[serde(deserialize_with = "number")]
            code: i64,
        }
        for (body, read) in [
            (r#"{"code":1201}"#, Some(1_201)),
            (r#"{"code":"1201"}"#, Some(1_201)),
            (r#"{"code":"-1"}"#, Some(-1)),
            (r#"{"code":"x"}"#, None),
            (r#"{"code":null}"#, None),
            ("{}", None),
        ] {
            let answer: Option<Answer> = serde_json::from_str(body).ok();
            assert_eq!(answer.map(|answer| answer.code), read, "{body}");
        }
    }

    fn read_of<T: DeserializeOwned>(body: &str) -> T {
        read(body.as_bytes(), "wrong").unwrap()
    }

    #[test]
    fn a_list_may_be_one() {
        assert_eq!(texts(&json!(["a", 1, "b"])), ["a", "b"]);
        assert_eq!(texts(&json!("a")), ["a"]);
        assert!(texts(&json!(null)).is_empty());
        let mut parameters = Map::from_iter([("images".to_owned(), json!(["a"]))]);
        assert_eq!(take_texts(&mut parameters, "images"), ["a"]);
        assert!(parameters.is_empty() && take_texts(&mut parameters, "images").is_empty());
    }
}
