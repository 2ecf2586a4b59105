//! Whether the time of an answer tells what the answer does not. Two sorts of requests that are refused alike are sent in turns, and their times are
//! compared by Welch's t. On a quiet machine, with a program that was built for it:
//!
//! `cargo build --release && AIO_TEST_BINARY=target/release/aio cargo run --release -p testkit --example timing [-- SAMPLES]`
//!
//! Exits 1 where a difference is more than chance. A machine that has other things to do makes noise, not differences: what is shown once is to be
//! looked at again.
#![expect(
    clippy::as_conversions,
    clippy::float_arithmetic,
    reason = "statistics are of floats"
)]

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use domain::{ApiKey, Mode};
use serde_json::{Value, json};
use testkit::{Account, Aio};

/// How many of each sort, unless somebody says it; of those that hash a password, so much less.
const SAMPLES: usize = 20_000;
const SLOWER: usize = 100;
/// What is beyond this is no chance (as dudect has it).
const MOST_T: f64 = 4.5;
/// Of the slowest so many in a hundred nothing is heard: they are the machine's.
const CROPPED: usize = 5;
const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Two sorts of requests that are to be the same, each made anew for every sample.
struct Pair<'a> {
    what: &'static str,
    samples: usize,
    one: Box<dyn Fn() -> String + 'a>,
    other: Box<dyn Fn() -> String + 'a>,
}

/// Mean and variance.
struct Sample {
    count: f64,
    mean: f64,
    variance: f64,
}

// === impl Sample ===

impl Sample {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        times.truncate(times.len() - times.len() * CROPPED / 100);
        let count = times.len() as f64;
        let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        let mean = micros.iter().sum::<f64>() / count;
        let squares = micros.iter().map(|time| (time - mean).powi(2));
        Self {
            count,
            mean,
            variance: squares.sum::<f64>() / (count - 1.0),
        }
    }

    /// Welch's t of the two.
    fn t(&self, other: &Self) -> f64 {
        let spread = self.variance / self.count + other.variance / other.count;
        (self.mean - other.mean) / spread.sqrt()
    }
}

/// Asks on a line that is kept, and waits for the whole answer.
fn ask(line: &mut BufReader<TcpStream>, request: &str) -> io::Result<Duration> {
    let begun = Instant::now();
    line.get_mut().write_all(request.as_bytes())?;
    let (mut length, mut field) = (0, String::new());
    while line.read_line(&mut field)? > 2 {
        if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        field.clear();
    }
    line.read_exact(&mut vec![0; length])?;
    Ok(begun.elapsed())
}

fn compare(address: &str, pair: &Pair<'_>) -> Result<bool> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut line = BufReader::new(stream);
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for number in 0..pair.samples {
        // Whose turn is first is as often the one's as the other's.
        let (first, second) = if number % 2 == 0 {
            (&pair.one, &pair.other)
        } else {
            (&pair.other, &pair.one)
        };
        let times = (ask(&mut line, &first())?, ask(&mut line, &second())?);
        let (one, other) = if number % 2 == 0 {
            times
        } else {
            (times.1, times.0)
        };
        ones.push(one);
        others.push(other);
    }
    let (one, other) = (Sample::of(ones), Sample::of(others));
    let t = one.t(&other);
    let good = t.abs() < MOST_T;
    let verdict = if good { "the same" } else { "DIFFERENT" };
    writeln!(
        io::stdout(),
        "| {} | {} | {:.2} | {:.2} | {t:.2} | {verdict} |",
        pair.what,
        pair.samples,
        one.mean,
        other.mean
    )?;
    Ok(good)
}

fn get(path: &str, key: &str) -> String {
    format!("GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n")
}

/// A key that nobody has, whose first characters are those of this one.
fn key_like(key: &str, alike: usize) -> String {
    let random = key.bytes().skip("aio_test_".len());
    let mut numbers: [u8; ApiKey::RANDOM_LEN] = rand::random();
    for (number, digit) in numbers.iter_mut().zip(random).take(alike) {
        let place = DIGITS.iter().position(|known| *known == digit);
        *number = place
            .and_then(|place| u8::try_from(place).ok())
            .unwrap_or(0);
    }
    ApiKey::from_random(Mode::Test, &numbers)
        .expose()
        .to_owned()
}

/// A form of the pages.
fn sign_in(email: &str) -> String {
    let form = format!("email={email}&password=nobody+guesses+this+one");
    let length = form.len();
    format!(
        "POST /sign-in HTTP/1.1\r\nhost: x\r\nsec-fetch-site: same-origin\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
    )
}

/// A text with one character changed.
fn mistyped(text: &str, at: usize) -> String {
    let change = |(place, c): (usize, char)| match c {
        _ if place != at => c,
        'A' => 'B',
        _ => 'A',
    };
    text.chars().enumerate().map(change).collect()
}

async fn all(aio: &mut Aio, samples: usize) -> Result<bool> {
    let (owner, stranger): (Account, Account) = (aio.account(100).await?, aio.account(100).await?);
    let task = json!({ "model": "z-image", "prompt": "a fox [sandbox delay=0s]" });
    let task = owner.api.image(&task).await?;
    let ended = owner.api.ended(&task).await?;
    let link = ended.pointer("/response/0").and_then(Value::as_str);
    let link = link.context("no link")?;
    let (_, link) = link.split_once("/api/v1").context("no link of ours")?;
    let last = link.len().saturating_sub(1);
    // Behind the last `=` is the signature.
    let first = link.rfind('=').context("no signature")?.saturating_add(1);
    aio.browser()
        .await?
        .sign_up(
            "somebody",
            "somebody@example.com",
            "a sentence that nobody guesses",
        )
        .await?;
    let nobodys = mistyped(&task, task.len().saturating_sub(1));
    let pairs = [
        Pair {
            what: "T01: a key like a good one in 30 characters, and any",
            samples,
            one: Box::new(|| get("/credits", &key_like(&owner.key, 30))),
            other: Box::new(|| get("/credits", &key_like(&owner.key, 0))),
        },
        Pair {
            what: "T02: a wrong password of somebody, and of nobody",
            samples: samples / SLOWER,
            one: Box::new(|| sign_in("somebody%40example.com")),
            other: Box::new(|| sign_in("nobodyyy%40example.com")),
        },
        Pair {
            what: "T03: another's task, and nobody's",
            samples,
            one: Box::new(|| get(&format!("/tasks/{task}"), &stranger.key)),
            other: Box::new(|| get(&format!("/tasks/{nobodys}"), &stranger.key)),
        },
        Pair {
            what: "T04: a link whose signature is wrong at its end, and at its beginning",
            samples,
            one: Box::new(|| get(&mistyped(link, last), "")),
            other: Box::new(|| get(&mistyped(link, first), "")),
        },
    ];
    writeln!(
        io::stdout(),
        "| what | samples of each | one, µs | other, µs | t | times are |"
    )?;
    writeln!(io::stdout(), "| --- | --- | --- | --- | --- | --- |")?;
    let base = aio.base();
    let address = base.strip_prefix("http://").context("no address")?;
    let mut good = true;
    for pair in &pairs {
        good &= compare(address, pair)?;
    }
    Ok(good)
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let samples = std::env::args().nth(1).map(|count| count.parse());
    let samples = samples.transpose()?.unwrap_or(SAMPLES);
    let mut aio = Aio::embedded_with(&[
        // All come from one address, and ask for one.
        ("AIO_LIMITS__DOOR__NETWORK_PER_MINUTE", "1000000"),
        ("AIO_LIMITS__DOOR__ADDRESS_PER_MINUTE", "1000000"),
        ("AIO_LIMITS__RATES__PER_MINUTE", "10000000"),
    ])
    .await?;
    let good = all(&mut aio, samples).await?;
    aio.finish().await?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
