//! What adapters of jobs behind plain JSON APIs have in common: where jobs are, a body that is submitted, an answer that is read, codes in a
//! table, and what came of a look.

use std::ops::RangeInclusive;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost::bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use upstream::{Call, Class, Classify, Failure, ProviderClient, Verdict};
use url::Url;

use super::{Access, Cost, Progress, policy, wire};

/// What a refusal by the content policy says that has no words of its own.
pub(super) const REFUSED: &str = "the provider's content policy refused the request or its result";

/// The operator's own headers, and a text of ours where they have none of this name.
pub(super) fn with_header(access: &Access, name: HeaderName, text: &str) -> HeaderMap {
    let mut headers = access.headers.clone();
    if let Ok(mut value) = HeaderValue::from_str(text) {
        value.set_sensitive(true);
        headers.entry(name).or_insert(value);
    }
    headers
}

/// Where a job is, whatever stands in its id.
pub(super) fn below(base: &Url, path: &str, segments: &[&str]) -> Result<Url, Failure> {
    let unusable = || Failure::malformed("the URL of a job is not one");
    let mut url = base.join(path).map_err(|_| unusable())?;
    url.path_segments_mut()
        .map_err(|()| unusable())?
        .extend(segments);
    Ok(url)
}

/// The same in a query.
pub(super) fn asking(base: &Url, path: &str, (name, value): (&str, &str)) -> Result<Url, Failure> {
    let mut url = below(base, path, &[])?;
    url.query_pairs_mut().append_pair(name, value);
    Ok(url)
}

/// Submits a job, once, and hands over the answer.
pub(super) async fn submit(
    client: &ProviderClient,
    (url, headers): (Url, HeaderMap),
    body: &Value,
    classify: Classify,
) -> Result<Bytes, Failure> {
    let call = Call::submit(url, wire::with_json(headers), body.to_string().into());
    client.send(call, classify).await?.bytes().await
}

/// Looks at something, and reads the answer.
pub(super) async fn get<T: DeserializeOwned>(
    client: &ProviderClient,
    (url, headers): (Url, HeaderMap),
    classify: Classify,
) -> Result<T, Failure> {
    let call = Call::get(url, headers);
    read(&client.send(call, classify).await?.bytes().await?)
}

/// What an answer says.
pub(super) fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    wire::read(answer, "the answer is not theirs")
}

/// What a code of theirs means, with their words where those are for the customer; `None` for one that is in no table.
pub(super) fn verdict(codes: &[(i64, Class)], code: i64, words: &str) -> Option<Verdict> {
    let (_, class) = codes.iter().find(|(known, _)| *known == code)?;
    Some(of_words(*class, words))
}

/// What a code that is in no table means by those around it: a refusal all the same, whose words may be about anything.
pub(super) fn of_family(
    families: &[(RangeInclusive<i64>, Class)],
    code: i64,
    words: &str,
) -> Option<Verdict> {
    let (_, class) = families.iter().find(|(codes, _)| codes.contains(&code))?;
    let verdict = of_words(*class, words);
    Some(if verdict.class == Class::Moderated {
        verdict
    } else {
        Verdict::of(verdict.class)
    })
}

/// A class, unless the words tell of a content policy.
pub(super) fn of_words(class: Class, words: &str) -> Verdict {
    let may_be_policy = matches!(class, Class::Invalid | Class::Overloaded | Class::Unknown);
    if may_be_policy && policy::tells(words) {
        Verdict::with_detail(Class::Moderated, words)
    } else if class == Class::Moderated && words.is_empty() {
        Verdict::with_detail(class, REFUSED)
    } else {
        Verdict::with_detail(class, words)
    }
}

/// A refusal under a status that says all is well.
pub(super) fn refusal(verdict: Option<Verdict>) -> Failure {
    verdict.map_or_else(
        || Failure::malformed("the provider's code is not in its table"),
        Failure::reported,
    )
}

/// What an answer in the place of a job says: only its provider's own words say that it is not there. A gateway's bare 404 says nothing about
/// a job that is paid.
pub(super) fn looked(verdict: Option<Verdict>, status: StatusCode) -> Verdict {
    verdict.unwrap_or_else(|| match Class::of_status(status) {
        Class::Gone => Verdict::of(Class::Unknown),
        class @ (Class::Auth
        | Class::Balance
        | Class::RateLimited
        | Class::Overloaded
        | Class::Invalid
        | Class::Moderated
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent) => Verdict::of(class),
    })
}

/// Refuses a text that the provider would cut, or refuse: another one may take it whole.
pub(super) fn fits((name, text): (&str, Option<&str>), most: usize) -> Result<(), Failure> {
    let length = text.map_or(0, |text| text.chars().count());
    if length <= most {
        return Ok(());
    }
    let message =
        format!("{name} must have at most {most} characters for this provider; it has {length}");
    Err(Failure::unsupported(name, &message))
}

/// A job that goes on, of which no more is known.
pub(super) fn running() -> Progress {
    Progress::Running {
        percent: None,
        position: None,
        clips: Vec::new(),
    }
}

/// What a finished job has made.
pub(super) fn done(files: Vec<String>, cost: Option<Cost>) -> Progress {
    Progress::Done {
        files,
        about: Vec::new(),
        cost,
    }
}

/// A text, or a number as one: ids come as either.
pub(super) fn id(value: &Value) -> Option<String> {
    let id = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(id).filter(|id| !id.is_empty())
}

/// A picture inline is base64 alone for some, wherever it stands.
pub(super) fn bare(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(inline) = wire::inline(text) {
                *text = inline.bytes.to_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(bare),
        Value::Object(members) => members.values_mut().for_each(bare),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use serde_json::json;

    use super::*;
    use crate::providers::for_tests::{access, told};

    #[test]
    fn the_operators_header_stands_in_the_place_of_ours() {
        let mut access = access("http://127.0.0.1:1/p/");
        let ours = with_header(&access, AUTHORIZATION, "Bearer ours");
        assert_eq!(ours[AUTHORIZATION], "Bearer ours");
        assert!(ours[AUTHORIZATION].is_sensitive());
        let own = HeaderValue::from_static("Bearer own");
        access.headers.insert(AUTHORIZATION, own);
        let own = with_header(&access, AUTHORIZATION, "Bearer ours");
        assert_eq!(own[AUTHORIZATION], "Bearer own");
    }

    #[test]
    fn a_file_in_a_text_is_made_bare() {
        let mut body = json!({"a": ["data:image/png;base64,QUJD", "https://a/1"], "b": {"c": "data:x;base64,"}, "d": 1});
        bare(&mut body);
        let expected = json!({"a": ["QUJD", "https://a/1"], "b": {"c": ""}, "d": 1});
        assert_eq!(body, expected);
    }

    #[test]
    fn ids_stay_within_their_place() {
        let base = Url::parse("http://a.example/p/").unwrap();
        let url = below(&base, "v1/tasks", &["a/../b?c", "x"]).unwrap();
        assert_eq!(url.as_str(), "http://a.example/p/v1/tasks/a%2F..%2Fb%3Fc/x");
        let url = asking(&base, "tasks", ("task_ids", "a&b")).unwrap();
        assert_eq!(url.as_str(), "http://a.example/p/tasks?task_ids=a%26b");
        assert_eq!(id(&json!(7)), Some("7".to_owned()));
        assert_eq!(id(&json!("")), None);
        assert_eq!(id(&json!([])), None);
    }

    #[test]
    fn a_code_means_what_its_table_says_unless_the_words_tell_of_a_policy() {
        let codes = [
            (1, Class::Invalid),
            (2, Class::Balance),
            (3, Class::Moderated),
        ];
        let refused = format!("moderated: {REFUSED}");
        for (code, words, expected) in [
            (1, "too long", "invalid: too long"),
            (
                1,
                "The prompt is inappropriate",
                "moderated: The prompt is inappropriate",
            ),
            (2, "sensitive account", "balance"),
            (3, "", &refused),
            (4, "new", "malformed"),
        ] {
            assert_eq!(told(&refusal(verdict(&codes, code, words))), expected);
        }
    }

    #[test]
    fn a_new_code_means_what_those_around_it_do() {
        let families = [(10..=19, Class::Invalid), (20..=29, Class::Auth)];
        for (code, words, expected) in [
            (10, "a field", "invalid"),
            (
                19,
                "The prompt is inappropriate",
                "moderated: The prompt is inappropriate",
            ),
            (20, "key", "auth"),
            (30, "new", "malformed"),
        ] {
            assert_eq!(told(&refusal(of_family(&families, code, words))), expected);
        }
    }

    #[test]
    fn only_their_own_word_says_that_a_job_is_not_there() {
        let not_found = StatusCode::NOT_FOUND;
        assert_eq!(looked(None, not_found).class, Class::Unknown);
        let theirs = Some(Verdict::of(Class::Gone));
        assert_eq!(looked(theirs, not_found).class, Class::Gone);
        let slow = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(looked(None, slow).class, Class::RateLimited);
    }

    #[test]
    fn a_prompt_that_would_be_cut_goes_to_another_provider() {
        assert!(fits(("prompt", Some("éé")), 2).is_ok() && fits(("prompt", None), 0).is_ok());
        let failure = fits(("prompt", Some("ééé")), 2).unwrap_err();
        assert!(failure.another_may_serve());
        assert_eq!(failure.param(), Some("prompt"));
        assert_eq!(
            failure.detail(),
            Some("prompt must have at most 2 characters for this provider; it has 3")
        );
    }
}
