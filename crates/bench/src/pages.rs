//! `bench pages`: how long the server takes for each of the web pages, for somebody whose account has ten million operations and a million
//! tasks, and how much a first look brings over the wire. `aio up` on one core; what it stands on is made once and kept below `target`.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use testkit::{Routes, links};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{
    Length,
    admin::{ADMIN_KEY, Admin, LOOK},
    figures::Figures,
    load::{Connection, percentile_us},
    process::{Build, Core, Process, aio, ourselves},
    progress,
};

/// Whoever looks, as the form says it.
const PERSON: &str = "name=bench&email=bench%40example.com&password=a+sentence+that+nobody+guesses";
/// How long what was asked for may take to be done.
const PATIENCE: Duration = Duration::from_secs(60);
/// What nobody behind the door is shown, and what is no page: files, and all there is of an account as one.
const ASIDE: [&str; 4] = [
    "/assets/",
    "/operator",
    "/sign-",
    "/settings/account/export",
];
/// Looks before those that count.
const WARM: usize = 5;

/// `aio up` on a folder that stays.
struct House {
    /// Ended when this is dropped.
    _process: Process,
    address: SocketAddr,
}

/// A browser with a session.
struct Reader {
    connection: Connection,
    address: SocketAddr,
    cookie: String,
}

/// Times the pages.
pub(crate) async fn pages(length: Length) -> anyhow::Result<Figures> {
    let (operations, tasks, rounds) = match length {
        Length::Full => (10_000_000, 1_000_000, 200),
        Length::Quick => (100_000, 10_000, 30),
    };
    let folder = filled(operations, tasks).await?;
    let house = House::start(&folder).await?;
    let mut reader = Reader::sign(house.address, "/sign-in").await?;
    let paths = reader.walk().await?;
    progress(&format!(
        "pages: {} of them, {rounds} times each",
        paths.len()
    ));
    let mut worst: (f64, &str) = (0.0, "");
    for path in &paths {
        let times = reader.times(path, rounds).await?;
        let (half, most) = (percentile_us(&times, 50), percentile_us(&times, 99));
        progress(&format!(
            "pages: {path}: p50 {half:.0} µs, p99 {most:.0} µs"
        ));
        if most > worst.0 {
            worst = (most, path);
        }
    }
    progress(&format!("pages: the slowest is {}", worst.1));
    let mut first = 0;
    for path in ["/", "/home"] {
        first = first.max(reader.whole(path).await?);
    }
    Ok(vec![
        ("worst_page_p99_us", worst.0),
        ("pages", paths.len() as f64),
        ("first_page_bytes", first as f64),
        ("operations", operations as f64),
        ("tasks", tasks as f64),
    ])
}

/// The data directory of somebody with so much behind them.
async fn filled(operations: u64, tasks: u64) -> anyhow::Result<PathBuf> {
    let target = std::env::current_dir()?.join("target/bench");
    let folder = target.join(format!("pages-{operations}"));
    if folder.exists() {
        return Ok(folder);
    }
    // Made beside its place, so that one that was cut off is not taken for whole.
    let half = folder.with_extension("half");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    fs::create_dir_all(&half)?;
    progress("pages: somebody signs up and does a little of everything");
    let account = {
        let house = House::start(&half).await?;
        Reader::sign(house.address, "/sign-up").await?;
        lives(&Admin::new(house.address)).await?
    };
    progress(&format!(
        "pages: making {operations} operations and {tasks} tasks, once"
    ));
    let data = half.join("data");
    let books = data.join("billing.db");
    let operations = operations.to_string();
    make(
        "operations",
        &[text(&books)?, &operations, &account, "test"],
    )
    .await?;
    make("tasks", &[text(&data)?, &tasks.to_string()]).await?;
    fs::rename(&half, &folder)?;
    Ok(folder)
}

/// Runs a program that lies beside this one.
async fn make(name: &str, words: &[&str]) -> anyhow::Result<()> {
    let program = ourselves()?.with_file_name("examples").join(name);
    let made = Command::new(program)
        .args(words)
        .kill_on_drop(true)
        .status();
    ensure!(made.await?.success(), "{name} could not be made");
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Lets the account of whoever signed up do what the seed copies: an image, and one that fails. Gives the account.
async fn lives(admin: &Admin) -> anyhow::Result<String> {
    let accounts = admin.get("admin/accounts?limit=100").await?;
    let accounts = accounts.get("items").and_then(serde_json::Value::as_array);
    let mut accounts = accounts.into_iter().flatten();
    let own = accounts.find(|account| account.get("name").is_some_and(|name| name == "bench"));
    let account = field(own.context("nobody has signed up")?, "account_id")?;
    let scopes = ["inference", "read", "manage"];
    let key = serde_json::json!({ "name": "bench", "mode": "test", "scopes": scopes });
    let key = admin.post(&format!("accounts/{account}/keys"), key).await?;
    let customer = admin.with_key(field(&key, "key")?);
    let said = [("role", "user"), ("content", "Hello")];
    let said = serde_json::json!({ "model": "gemini", "messages": [BTreeMap::from(said)] });
    customer.ask("chat/completions", said).await?;
    for prompt in ["a fox", "a fox [sandbox outcome=fail]"] {
        let image = serde_json::json!({ "model": "z-image", "prompt": prompt });
        let task = customer.ask("images/generations", image).await?;
        let task = task.get("data").context("no task")?;
        let path = format!("tasks/{}", field(task, "task_id")?);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = field(&customer.get(&path).await?, "status")?;
            if status == "completed" || status == "failed" {
                break;
            }
            ensure!(Instant::now() < deadline, "{path} does not end");
            sleep(LOOK).await;
        }
    }
    Ok(account)
}

fn field(value: &serde_json::Value, name: &str) -> anyhow::Result<String> {
    let text = value.get(name).and_then(serde_json::Value::as_str);
    Ok(text
        .with_context(|| format!("no {name} in {value}"))?
        .to_owned())
}

// === impl House ===

impl House {
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let log = folder.join("aio.log");
        let out = File::options().append(true).create(true).open(&log)?;
        let mut command = aio(Core::UnderTest, Build::Release)?;
        command
            .args(["up", "--listen", &address.to_string(), "--data-dir"])
            .arg(folder.join("data"))
            .env("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("AIO_BOOTSTRAP_KEY", ADMIN_KEY)
            // What reads the books from their beginning would do so while pages are timed: these books were not kept by billing.
            .env("AIO_LIMITS__BILLING__JOBS__LOTS_EVERY", "1d")
            .env("AIO_LIMITS__BILLING__JOBS__SEAL_EVERY", "1d")
            .current_dir(folder)
            .stdout(out.try_clone()?)
            .stderr(out);
        let mut process = Process::start(&mut command)?;
        let ready = Admin::new(address).wait_until_ready(&mut process).await;
        ready.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(Self {
            _process: process,
            address,
        })
    }
}

// === impl Reader ===

impl Reader {
    /// Signs up or in.
    async fn sign(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address).await?;
        let length = PERSON.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nsec-fetch-site: same-origin\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{PERSON}"
        );
        let answer = connection.exchange(request.as_bytes()).await?;
        let said = connection.text();
        ensure!(answer.status == 303, "{path}: {said}");
        let cookie = said.split("set-cookie: ").nth(1);
        let cookie = cookie.and_then(|rest| rest.split(';').next());
        Ok(Self {
            cookie: cookie.context("no cookie")?.to_owned(),
            connection,
            address,
        })
    }

    /// What a browser sends; `packed`: that it takes gzip, as all do.
    fn request(&self, path: &str, packing: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\naccept-encoding: {packing}\r\n\r\n",
            self.address, self.cookie
        )
    }

    /// Gets a page as text: its status, and head and body.
    async fn get(&mut self, path: &str) -> anyhow::Result<(u16, String)> {
        let request = self.request(path, "identity");
        let answer = self.connection.exchange(request.as_bytes()).await?;
        Ok((answer.status, self.connection.text()))
    }

    /// A page of every route that links lead to.
    async fn walk(&mut self) -> anyhow::Result<Vec<String>> {
        let routes = Routes::new(dashboard::paths().map(|route| route.path));
        let mut found: BTreeMap<&str, String> = BTreeMap::new();
        let mut queue = VecDeque::from(["/home".to_owned(), "/".to_owned()]);
        while let Some(path) = queue.pop_front() {
            let Some(route) = routes.of(&path) else {
                continue;
            };
            let aside = ASIDE.iter().any(|begin| path.starts_with(begin));
            if aside || found.contains_key(route) {
                continue;
            }
            let (status, text) = self.get(&path).await?;
            if status == 200 {
                queue.extend(links(&text));
                found.insert(route, path);
            }
        }
        Ok(found.into_values().collect())
    }

    /// How long a page takes, sorted.
    async fn times(&mut self, path: &str, rounds: usize) -> anyhow::Result<Vec<Duration>> {
        let request = self.request(path, "gzip");
        let mut times = Vec::new();
        for round in 0..WARM + rounds {
            let asked = Instant::now();
            let answer = self.connection.exchange(request.as_bytes()).await?;
            ensure!(answer.status == 200, "{path} answers {}", answer.status);
            if round >= WARM {
                times.push(asked.elapsed());
            }
        }
        times.sort_unstable();
        Ok(times)
    }

    /// The bytes of a page, its style, its scripts and its pictures, as they come, heads and all.
    async fn whole(&mut self, path: &str) -> anyhow::Result<usize> {
        let (_, text) = self.get(path).await?;
        let sources = text.split(" src=\"").skip(1);
        let sources = sources.filter_map(|rest| rest.split('"').next());
        let mut parts: Vec<String> = links(&text)
            .into_iter()
            .chain(sources.map(str::to_owned))
            .collect();
        parts.retain(|part| part.starts_with("/assets/"));
        parts.push(path.to_owned());
        parts.sort_unstable();
        parts.dedup();
        let mut bytes = 0;
        for part in parts {
            let request = self.request(&part, "gzip");
            self.connection.exchange(request.as_bytes()).await?;
            bytes += self.connection.received();
        }
        Ok(bytes)
    }
}
