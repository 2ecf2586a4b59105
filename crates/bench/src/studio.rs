//! The mock upstream as a provider of pictures, in the wire of Black Forest Labs, and as the customer's server that webhooks come to. What
//! a job is to do stands in its prompt: `@job=17@` is its number, `@done=300@` has it done after 300 ms, and `@hang=1@` never. Nothing is
//! kept of a job but when it is done, which its id says.

use crate::load::percentile_us;
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where it is, below the mock upstream.
pub(crate) const PATH: &str = "/studio";
/// A picture of one pixel, and bytes behind it up to the size of a small one.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0, 0, 0, 2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N', b'D',
    0xae, 0x42, 0x60, 0x82,
];
const PICTURE_BYTES: usize = 64 * 1024;

/// What the mock answers.
pub(crate) enum Answer {
    Json(Value),
    Picture(Bytes),
    Unknown,
}

/// The studio, and what it has seen.
pub(crate) struct Studio {
    picture: Bytes,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    submits: u64,
    /// Jobs among them that are never done.
    hanging: u64,
    /// Looks at those, by second.
    looks_at: HashMap<u64, u64>,
    /// When the jobs with a number were done, microseconds UTC.
    done_at: HashMap<u64, u64>,
    completed: u64,
    failed: u64,
    /// From done at the provider to completed, and to told.
    until_completed: Vec<Duration>,
    until_told: Vec<Duration>,
}

// === impl Studio ===

impl Studio {
    pub(crate) fn new() -> Self {
        let mut picture = PIXEL.to_vec();
        picture.resize(PICTURE_BYTES, 0);
        Self {
            picture: picture.into(),
            book: Mutex::default(),
        }
    }

    /// Answers a call to what is below [`PATH`]; `host` is where the mock is reached.
    pub(crate) fn answer(&self, (path, query): (&str, &str), host: &str, body: &[u8]) -> Answer {
        match path {
            "/v1/get_result" => Answer::Json(self.look(query, host)),
            "/sample.png" => Answer::Picture(self.picture.clone()),
            "/hook" => {
                self.hear(body);
                Answer::Json(json!({}))
            }
            "/stats" => Answer::Json(self.tell()),
            "/forget" => {
                self.forget();
                Answer::Json(json!({}))
            }
            path if path.starts_with("/v1/") => Answer::Json(self.take(body)),
            _ => Answer::Unknown,
        }
    }

    /// A job's id says when it is done: 0 is never.
    fn take(&self, body: &[u8]) -> Value {
        let now = now_micros();
        let wait = marker(body, b"@done=").unwrap_or_default();
        let done = match marker(body, b"@hang=") {
            Some(_) => 0,
            None => now + wait * 1_000,
        };
        let mut book = self.book();
        book.submits += 1;
        if done == 0 {
            book.hanging += 1;
        }
        if let Some(job) = marker(body, b"@job=") {
            book.done_at.insert(job, done);
        }
        json!({"id": format!("{}-{done}", book.submits)})
    }

    fn look(&self, query: &str, host: &str) -> Value {
        let now = now_micros();
        let done = query.rsplit_once('-').map(|(_, done)| done.parse::<u64>());
        if done == Some(Ok(0)) {
            *self.book().looks_at.entry(now / 1_000_000).or_default() += 1;
        }
        match done {
            Some(Ok(done)) if done > 0 && done <= now => {
                let sample = format!("http://{host}{PATH}/sample.png");
                json!({"status": "Ready", "result": {"sample": sample}})
            }
            Some(Ok(_)) => json!({"status": "Pending"}),
            Some(Err(_)) | None => json!({"status": "Task not found"}),
        }
    }

    /// A webhook.
    fn hear(&self, body: &[u8]) {
        let now = now_micros();
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut book = self.book();
        if event.get("type").and_then(Value::as_str) == Some("task.completed") {
            book.completed += 1;
        } else {
            book.failed += 1;
        }
        let done = marker(body, b"@job=").and_then(|job| book.done_at.remove(&job));
        let completed = event.pointer("/data/completed_at").and_then(Value::as_str);
        if let (Some(done), Some(completed)) = (done, completed.and_then(micros)) {
            let since = |at: u64| Duration::from_micros(at.saturating_sub(done));
            book.until_completed.push(since(completed));
            book.until_told.push(since(now));
        }
    }

    /// Forgets all but how many jobs there have been.
    fn forget(&self) {
        let mut book = self.book();
        let (submits, hanging) = (book.submits, book.hanging);
        *book = Book {
            submits,
            hanging,
            ..Book::default()
        };
    }

    fn tell(&self) -> Value {
        let mut book = self.book();
        book.until_completed.sort_unstable();
        book.until_told.sort_unstable();
        json!({
            "submits": book.submits,
            "hanging": book.hanging,
            "most_looks_per_s": book.looks_at.values().max(),
            "completed": book.completed,
            "failed": book.failed,
            "completed_p50_us": percentile_us(&book.until_completed, 50),
            "completed_p99_us": percentile_us(&book.until_completed, 99),
            "told_p99_us": percentile_us(&book.until_told, 99),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Now, in microseconds UTC: on one machine everybody's clock is the same.
pub(crate) fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// The time of day of a moment in RFC 3339 with milliseconds and a Z, on the day it is now: benchmarks do not run over midnight.
fn micros(moment: &str) -> Option<u64> {
    const DAY: u64 = 86_400_000_000;
    let (_, time) = moment.split_once('T')?;
    let time = time.strip_suffix('Z')?;
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = seconds.split(':').map(str::parse::<u64>);
    let mut part = || parts.next()?.ok();
    let seconds = (part()? * 60 + part()?) * 60 + part()?;
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // The last of the millisecond: what is told is never sooner than it was.
    Some(now_micros() / DAY * DAY + seconds * 1_000_000 + millis * 1_000 + 999)
}

/// The number after `name`, if the body has it.
pub(crate) fn marker(body: &[u8], name: &[u8]) -> Option<u64> {
    let (_, rest) = body.split_at_checked(memmem::find(body, name)? + name.len())?;
    let digits = rest.iter().copied().take_while(u8::is_ascii_digit);
    String::from_utf8(digits.collect()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(answer: Answer) -> Value {
        match answer {
            Answer::Json(json) => json,
            Answer::Picture(_) | Answer::Unknown => Value::Null,
        }
    }

    fn call(studio: &Studio, path: &str, query: &str, body: &str) -> Value {
        json_of(studio.answer((path, query), "here", body.as_bytes()))
    }

    #[test]
    fn markers_are_numbers_after_their_name() {
        assert_eq!(marker(b"say @lat=50@ hello", b"@lat="), Some(50));
        assert_eq!(marker(b"say hello", b"@lat="), None);
        assert_eq!(marker(b"@lat=", b"@lat="), None);
    }

    #[test]
    fn a_job_does_what_its_prompt_says() {
        let studio = Studio::new();
        for (prompt, status) in [
            ("@job=1@", "Ready"),
            ("@done=3600000@", "Pending"),
            ("@hang=1@", "Pending"),
        ] {
            let taken = call(&studio, "/v1/flux-2-pro", "", prompt);
            let id = taken.get("id").and_then(Value::as_str).unwrap();
            let looked = call(&studio, "/v1/get_result", &format!("id={id}"), "");
            assert_eq!(looked.get("status").unwrap(), status, "{prompt}");
        }
        let stats = call(&studio, "/stats", "", "");
        assert_eq!(stats.get("submits").unwrap(), 3);
        assert_eq!(stats.get("hanging").unwrap(), 1);
        assert_eq!(stats.get("most_looks_per_s").unwrap(), 1);
        call(&studio, "/forget", "", "");
        let stats = call(&studio, "/stats", "", "");
        assert_eq!(stats.get("hanging").unwrap(), 1);
        assert!(stats.get("most_looks_per_s").unwrap().is_null());
    }

    #[test]
    fn what_is_told_is_counted_from_when_the_job_was_done() {
        let studio = Studio::new();
        call(&studio, "/v1/flux-2-pro", "", "@job=7@");
        let event = json!({
            "type": "task.completed",
            "data": {"completed_at": chassis::clock::rfc3339(i64::try_from(now_micros()).unwrap() + 250_000),
                     "request": {"prompt": "@job=7@"}},
        });
        call(&studio, "/hook", "", &event.to_string());
        let stats = call(&studio, "/stats", "", "");
        let p99 = stats
            .get("completed_p99_us")
            .and_then(Value::as_f64)
            .unwrap();
        assert!((249_000.0..300_000.0).contains(&p99), "{p99}");
        assert_eq!(stats.get("completed").unwrap(), 1);
    }

    #[test]
    fn the_picture_is_one() {
        let answer = Studio::new().answer(("/sample.png", ""), "here", b"");
        let Answer::Picture(bytes) = answer else {
            panic!("no picture")
        };
        assert!(bytes.starts_with(PIXEL) && bytes.len() == PICTURE_BYTES);
    }
}
