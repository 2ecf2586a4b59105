//! Providers that answer a submit with what they made: there is no job to look at. What such an answer leads to stands in the name of the
//! job, so that a look can find it again: the addresses of files, where it has addresses; that the job failed, where they broke in the middle
//! of it. Files that came inside of the answer are nowhere else: if they are lost before they are kept, the job was for nothing.

use http::{HeaderMap, StatusCode};
use prost::bytes::Bytes;
use upstream::{Call, Class, Classify, Failure, ProviderClient, Reply, Verdict};

use super::{Cost, PATIENCE, Progress, Started, refusal};

/// What begins the name of such a job; a space is behind it, and before each address.
const PLACED: &str = "placed";
const GIVEN: &str = "given";
const FAILED: &str = "failed";
/// The header with which they name a request.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// What came of a submit.
pub(super) enum Answer {
    /// The answer, which has what they made, and what they call the request.
    Made(Bytes, String),
    /// They broke.
    Failed(Started),
}

/// What came of a submit whose answer is still to be read.
pub(super) enum Heard {
    /// The answer.
    Reply(Reply),
    /// They broke.
    Failed(Started),
}

/// Submits, and waits for what is made, by providers who refuse in OpenAI's words, or in Google's.
pub(super) async fn submit(client: &ProviderClient, call: Call) -> Result<Answer, Failure> {
    match ask(client, call, refusal::classify_at_once).await? {
        Heard::Reply(reply) => {
            let id = id(reply.headers(), REQUEST_ID);
            Ok(Answer::Made(reply.bytes().await?, id))
        }
        Heard::Failed(started) => Ok(Answer::Failed(started)),
    }
}

/// Submits, and waits for what is made. That they broke, in words of their own, is the end of a job and not of the call: it is free, and is
/// not tried again there.
pub(super) async fn ask(
    client: &ProviderClient,
    call: Call,
    classify: Classify,
) -> Result<Heard, Failure> {
    // However long it takes: whoever asks has a limit for it.
    let call = call.first_byte_within(PATIENCE).for_a_result();
    match client.send(call, classify).await {
        Ok(reply) => Ok(Heard::Reply(reply)),
        Err(failure) if has_broken(&failure) => Ok(Heard::Failed(failed("the call"))),
        Err(failure) => Err(failure),
    }
}

fn has_broken(failure: &Failure) -> bool {
    let broke = failure.status() == Some(StatusCode::INTERNAL_SERVER_ERROR);
    broke && failure.class() == Class::Overloaded
}

/// What they call a request, in this header.
pub(super) fn id(headers: &HeaderMap, name: &str) -> String {
    let id = headers.get(name).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// The job has failed, for nothing.
pub(super) fn failed(id: &str) -> Started {
    Started::taken(format!("{FAILED} {id}"), None)
}

/// A text that came in the answer.
pub(super) fn told(id: &str, text: String, cost: Option<Cost>) -> Started {
    Started {
        text: Some(text),
        ..Started::taken(format!("{GIVEN} {id}"), cost)
    }
}

/// Files that came inside of the answer.
pub(super) fn given(id: &str, files: Vec<String>, cost: Option<Cost>) -> Started {
    Started {
        files,
        ..Started::taken(format!("{GIVEN} {id}"), cost)
    }
}

/// Files that are to be had at these addresses.
pub(super) fn placed(files: Vec<String>, cost: Option<Cost>) -> Started {
    let places = files.iter().map(|url| url.replace(' ', "%20"));
    let places: Vec<String> = places.collect();
    let job = format!("{PLACED} {}", places.join(" "));
    Started {
        files,
        ..Started::taken(job, cost)
    }
}

/// Where the first file of such a job was to be had.
pub(super) fn first_place(job: &str) -> Option<&str> {
    let mut words = job.split(' ');
    let is_placed = words.next() == Some(PLACED);
    words.next().filter(|_| is_placed)
}

/// Whether a job is one whose work is done, and there to be had, from its beginning: nothing of it can be stopped.
pub(crate) fn has_made(job: &str) -> bool {
    let word = job.split_once(' ').map(|(word, _)| word);
    word.is_some_and(|word| [PLACED, GIVEN].contains(&word))
}

/// What operators see of a job's name: not where a customer's files are to be had.
pub(crate) fn shown_name(job: &str) -> &str {
    if first_place(job).is_some() {
        PLACED
    } else {
        job
    }
}

/// How such a job stands; `None`: it is a job of another kind.
pub(super) fn check(job: &str) -> Option<Progress> {
    let (word, rest) = job.split_once(' ')?;
    match word {
        PLACED => Some(Progress::Done {
            files: rest.split(' ').map(str::to_owned).collect(),
            about: Vec::new(),
            cost: None,
        }),
        GIVEN => {
            let lost = Failure::malformed("what came inside of an answer was lost");
            Some(Progress::Wasted(lost, None))
        }
        FAILED => Some(Progress::Failed(Failure::reported(Verdict::of(
            Class::Overloaded,
        )))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::for_tests::shown;

    fn looked(job: &str) -> Option<String> {
        check(job).map(|progress| shown(&Ok(progress)))
    }

    #[test]
    fn a_look_finds_what_an_answer_led_to() {
        let files = ["https://a.example/1", "https://a.example/2?x=1"].map(str::to_owned);
        let started = placed(files.to_vec(), None);
        assert_eq!(started.files, files);
        let found = looked(&started.job).unwrap();
        assert_eq!(found, "done https://a.example/1 https://a.example/2?x=1");
        assert_eq!(first_place(&started.job), Some("https://a.example/1"));
        assert!(has_made(&started.job));
        assert_eq!(shown_name(&started.job), "placed");
        let spaced = placed(vec!["https://a.example/a b".to_owned()], None);
        let found = looked(&spaced.job).unwrap();
        assert_eq!(found, "done https://a.example/a%20b");
        assert!(!has_made(&failed("r1").job));
        assert_eq!(looked(&failed("r1").job).unwrap(), "failed overloaded");
        let file = "data:image/png;base64,AAEC".to_owned();
        let started = given("r1", vec![file], None);
        assert_eq!(started.job, "given r1");
        assert!(has_made(&started.job));
        assert_eq!(shown_name(&started.job), "given r1");
        assert_eq!(looked(&started.job).unwrap(), "wasted malformed");
        let started = told("r2", "{}".to_owned(), None);
        assert!(started.is_done() && started.is_in_answer() && has_made(&started.job));
        assert_eq!(looked(&started.job).unwrap(), "wasted malformed");
    }

    #[test]
    fn jobs_of_another_kind_are_left_alone() {
        for job in ["7f1c-1", "cgt-2026", "song 7"] {
            assert!(check(job).is_none(), "{job}");
            assert_eq!(first_place(job), None);
            assert!(!has_made(job));
            assert_eq!(shown_name(job), job);
        }
    }
}
