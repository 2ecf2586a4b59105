//! The soak: an hour of everything at once, at 60 % of what the machine can do, with faults. Chats, streams that are read and streams that
//! are left, images with webhooks, polls, lists and pages; providers that fail in every way; in the split shape servers that are killed,
//! wiped and stand still, in both an endpoint that fails and hangs. Every minute it is written down what the program holds. At the end
//! nothing may have grown: no memory, no file, no connection, no hold and no task is left.
#![expect(
    clippy::float_arithmetic,
    reason = "statistics over what the kernel says: no money is computed here"
)]

mod load;
mod looks;
mod verdict;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ::report::{Machine, html};
use anyhow::{Context as _, Result};
use testkit::{Aio, Answer, Shape, Sink};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{progress, report::FOLDER};
use load::Load;
use looks::Look;
use verdict::Verdict;

/// How long the machine is asked for all it can do, and how much of that is asked of it then.
const CAPACITY: Duration = Duration::from_secs(15);
const PART: f64 = 0.6;
/// Looks that there are at least, however short it is, and the longest time from one to the next.
const LOOKS: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After each so-and-so-many-th look something breaks.
const FAULT_EACH: u32 = 3;
/// What every customer sends is no more than he may.
const LIMITS: [(&str, &str); 2] = [
    ("AIO_LIMITS__RATES__PER_MINUTE", "100000000"),
    ("AIO_LIMITS__RATES__CONCURRENCY", "10000"),
];

/// Which shapes these names choose: `soak/up`, `soak/split`, or `soak` for `aio up`, and for both `soak/`.
pub(crate) fn shapes(names: &[String]) -> Option<Vec<Shape>> {
    let mut shapes = Vec::new();
    for name in names {
        match name.as_str() {
            "soak" | "soak/up" => shapes.push(Shape::Embedded),
            "soak/split" => shapes.push(Shape::Split),
            "soak/" => shapes.extend([Shape::Embedded, Shape::Split]),
            _ => return None,
        }
    }
    (!shapes.is_empty()).then_some(shapes)
}

/// Soaks for so long, writes the report, and says whether all is well.
pub(crate) async fn soak(shape: Shape, lasting: Duration) -> Result<bool> {
    let name = match shape {
        Shape::Embedded => "up",
        Shape::Split | Shape::Split3 => "split",
    };
    let mut aio = Aio::private_with(shape, &LIMITS).await?;
    let sink = Sink::start(Answer::Status(200)).await?;
    let load = Load::new(&mut aio, sink.clone()).await?;
    let database = database(&mut aio, shape)?;
    progress(&format!("soak/{name}: what the machine can do"));
    let capacity = load.closed(CAPACITY).await;
    let rate = capacity * PART;
    progress(&format!(
        "soak/{name}: {capacity:.0} operations per second; {rate:.0} from now on, for {} min",
        lasting.as_secs() / 60
    ));
    let pause = (lasting / LOOKS).min(LONGEST_PAUSE);
    let begun = Instant::now();
    let watching = async {
        let mut looks = Vec::new();
        let mut broke = Vec::new();
        let mut number = 0_u32;
        while begun.elapsed() < lasting {
            number = number.saturating_add(1);
            sleep_until(begun + pause.saturating_mul(number)).await;
            let look = Look::take(begun, &load, &database).await;
            progress(&format!("soak/{name}: {look}"));
            looks.push(look);
            if number.is_multiple_of(FAULT_EACH) {
                let what = fault(&mut aio, &sink, number / FAULT_EACH).await;
                broke.push(what.unwrap_or_else(|error| format!("a fault failed: {error:#}")));
            }
        }
        load.stop();
        (looks, broke)
    };
    let ((looks, broke), ()) = futures::future::join(watching, load.paced(rate)).await;
    progress(&format!("soak/{name}: the load is over; what is left"));
    let left = load.left().await;
    // Connections that nobody needs are closed by who keeps them.
    sleep(Duration::from_secs(10)).await;
    let rest = Look::take(begun, &load, &database).await;
    let verdict = Verdict::of(&looks, &rest, left);
    let counts = load.counts();
    let audit = aio.finish().await;
    write(
        name,
        &verdict.markdown(rate, &counts, &broke, &audit),
        &verdict,
    )?;
    for line in verdict.lines() {
        progress(&format!("soak/{name}: {line}"));
    }
    if let Err(error) = &audit {
        progress(&format!("soak/{name}: {error:#}"));
    }
    Ok(verdict.is_good() && audit.is_ok())
}

/// Where what is in the databases is.
fn database(aio: &mut Aio, shape: Shape) -> Result<PathBuf> {
    Ok(match shape {
        Shape::Embedded => aio.data_dir(),
        Shape::Split | Shape::Split3 => {
            let folder = aio.servers()?.postgres.folder();
            folder.context("not our own")?.to_owned()
        }
    })
}

/// Breaks the next thing, mends it, and says what it was.
async fn fault(aio: &mut Aio, sink: &Sink, number: u32) -> Result<String> {
    let what = match aio.servers() {
        Err(_) if number.is_multiple_of(2) => "the endpoint hangs",
        Err(_) => "the endpoint fails",
        Ok(servers) => match number % 6 {
            0 => "the endpoint hangs",
            1 => {
                servers.redis.kill()?;
                sleep(Duration::from_secs(3)).await;
                servers.redis.restart().await?;
                "Redis is killed, and empty"
            }
            2 => {
                servers.rabbit.restart().await?;
                "RabbitMQ is killed"
            }
            3 => {
                servers.postgres.pause()?;
                sleep(Duration::from_secs(3)).await;
                servers.postgres.go_on()?;
                "PostgreSQL stands still for 3 s"
            }
            4 => {
                servers.rabbit.stop().await?;
                servers.rabbit.wipe()?;
                servers.rabbit.restart().await?;
                "RabbitMQ loses everything"
            }
            _ => "the endpoint fails",
        },
    };
    let answer = match what {
        "the endpoint hangs" => Some(Answer::Hang),
        "the endpoint fails" => Some(Answer::Status(500)),
        _ => None,
    };
    if let Some(answer) = answer {
        sink.answer(answer);
        sleep(Duration::from_secs(5)).await;
        sink.answer(Answer::Status(200));
    }
    Ok(what.to_owned())
}

fn write(name: &str, text: &str, verdict: &Verdict) -> Result<()> {
    let folder = Path::new(FOLDER);
    fs::create_dir_all(folder)?;
    let title = format!("Soak: {name}");
    let text = format!("# {title}\n\n{}\n{text}", Machine::look().markdown());
    let drawings = verdict.drawings(name)?;
    for (drawing, svg) in &drawings {
        fs::write(folder.join(format!("{drawing}.svg")), svg)?;
    }
    let images = drawings
        .iter()
        .map(|(name, _)| format!("\n![{name}]({name}.svg)\n"));
    let text = text + &images.collect::<String>();
    let page = html(&title, &text, &drawings);
    fs::write(folder.join(format!("soak-{name}.html")), page)?;
    fs::write(folder.join(format!("soak-{name}.md")), text)?;
    progress(&format!(
        "the report is in {FOLDER}/soak-{name}.md and .html"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_is_chosen_by_its_name_alone() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(shapes(&names(&["soak"])), Some(vec![Shape::Embedded]));
        assert_eq!(
            shapes(&names(&["soak/"])),
            Some(vec![Shape::Embedded, Shape::Split])
        );
        assert_eq!(shapes(&names(&["up/", "soak"])), None);
        assert_eq!(shapes(&[]), None);
    }
}
