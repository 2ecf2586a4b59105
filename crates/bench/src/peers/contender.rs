//! A running peer: how each is told where the upstream is, and what requests to it look like.

use super::{installed, watched};
use crate::{
    body::Body,
    load::Connection,
    phases::Target,
    process::{Core, Process, pinned},
    progress,
};
use anyhow::{Context as _, bail};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a peer may take to answer its first request: a Python program reads hundreds of files.
const START: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(100);
/// The key that LiteLLM asks its callers for.
const MASTER_KEY: &str = "sk-bench";

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Portkey,
    LiteLlm,
}

/// A peer that answers. Dropping it ends it.
pub(super) struct Contender {
    pub(super) target: Target,
    pub(super) process: Process,
    /// What it says it is.
    pub(super) version: String,
}

// === impl Kind ===

impl Kind {
    /// Whoever is the fastest to install comes first.
    pub(super) const ALL: [Self; 3] = [Self::Nginx, Self::Portkey, Self::LiteLlm];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Portkey => "portkey",
            Self::LiteLlm => "litellm",
        }
    }

    /// What requests to it show, and further lines of their head.
    fn request(self, upstream: SocketAddr) -> (Option<String>, String) {
        match self {
            Self::Nginx => (None, String::new()),
            Self::LiteLlm => (Some(MASTER_KEY.to_owned()), String::new()),
            Self::Portkey => (
                Some("bench".to_owned()),
                format!(
                    "x-portkey-provider: openai\r\nx-portkey-custom-host: http://{upstream}/v1\r\n"
                ),
            ),
        }
    }

    /// Installs it, and says how it is started on this port, and what it is.
    async fn command(self, port: u16, upstream: SocketAddr) -> anyhow::Result<(Command, String)> {
        let folder = installed::folder(self.name())?;
        Ok(match self {
            Self::Nginx => {
                let program = installed::nginx().await?;
                let config = folder.join("nginx.conf");
                fs::write(&config, nginx(&folder, port, upstream))?;
                let mut command = pinned(Core::UnderTest, &program);
                command.arg("-p").arg(&folder).arg("-c").arg(&config);
                // It says so on standard error.
                (command, said(Command::new(&program).arg("-v")))
            }
            Self::LiteLlm => {
                let program = installed::litellm().await?;
                let python = folder.join("venv/bin/python");
                let config = folder.join("litellm.yaml");
                fs::write(&config, litellm(upstream))?;
                let mut command = pinned(Core::UnderTest, &python);
                command
                    .arg(&program)
                    .arg("--config")
                    .arg(&config)
                    .args(["--host", "127.0.0.1", "--port", &port.to_string()])
                    .args(["--num_workers", "1"])
                    .env("LITELLM_LOG", "ERROR")
                    .env("LITELLM_MODE", "PRODUCTION")
                    // Nothing is fetched while it is measured.
                    .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                    .env("LITELLM_TELEMETRY", "False")
                    .env("NO_DOCS", "True");
                let code = "import importlib.metadata as m; print('LiteLLM', m.version('litellm'))";
                (command, said(Command::new(&python).args(["-c", code])))
            }
            Self::Portkey => {
                let program = installed::portkey().await?;
                let mut command = pinned(Core::UnderTest, "node");
                command
                    .arg(&program)
                    .args([&format!("--port={port}"), "--headless"])
                    .env("NODE_ENV", "production")
                    .env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
                let code = "const p = require('@portkey-ai/gateway/package.json'); \
                            console.log('Portkey', p.version, 'on Node', process.version)";
                let mut version = Command::new("node");
                version.args(["-e", code]).current_dir(&folder);
                (command, said(&mut version))
            }
        })
    }
}

// === impl Contender ===

impl Contender {
    /// Installs it if it is not there yet, starts it before this upstream, and waits until it answers as the upstream does.
    pub(super) async fn start(kind: Kind, upstream: SocketAddr) -> anyhow::Result<Self> {
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let (mut command, version) = kind.command(address.port(), upstream).await?;
        let folder = installed::folder(kind.name())?;
        let log = folder.join("log");
        let out = File::create(&log)?;
        command
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        progress(&format!("peers: starting {version}"));
        let process = Process::start(&mut command)?;
        let (key, head) = kind.request(upstream);
        let mut contender = Self {
            target: Target {
                name: kind.name(),
                address,
                key,
                head,
                processes: vec![watched(&process)],
            },
            process,
            version,
        };
        contender.answers(&log).await?;
        Ok(contender)
    }

    async fn answers(&mut self, log: &Path) -> anyhow::Result<()> {
        let request = self.target.request(Body::Short);
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < START && !self.process.has_ended() {
            let asked = async {
                let mut connection = Connection::open(self.target.address).await?;
                let answer = connection.exchange(request.as_bytes()).await?;
                std::io::Result::Ok((answer.status, connection.text()))
            };
            // While nobody listens there is an error, which is no reason to stop.
            if let Ok((status, text)) = asked.await {
                if status == 200 {
                    return Ok(());
                }
                last = text;
            }
            sleep(LOOK).await;
        }
        let said = fs::read_to_string(log).context("no log")?;
        let end: Vec<_> = said.lines().rev().take(5).collect();
        bail!("it does not answer: {last} {}", end.join(" | "))
    }
}

/// One process that passes bytes on, over connections that are kept.
fn nginx(folder: &Path, port: u16, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.err warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n  \
         fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n  \
         client_body_buffer_size 1m;\n  client_max_body_size 32m;\n  keepalive_requests 100000000;\n  keepalive_timeout 300s;\n  \
         upstream mock {{ server {upstream}; keepalive 512; keepalive_requests 100000000; }}\n  \
         server {{\n    listen 127.0.0.1:{port} backlog=1024;\n    location / {{ proxy_pass http://mock; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; proxy_buffering off; }}\n  }}\n}}\n"
    )
}

/// One model at the upstream, and a key; no database, no log of requests.
fn litellm(upstream: SocketAddr) -> String {
    let model = crate::body::MODEL_NAME;
    format!(
        "model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      api_base: http://{upstream}/v1\n      \
         api_key: bench\nlitellm_settings:\n  num_retries: 0\n  request_timeout: 60\n  drop_params: true\n  set_verbose: false\n  \
         telemetry: false\ngeneral_settings:\n  master_key: {MASTER_KEY}\n"
    )
}

/// The first line that a program prints.
fn said(command: &mut Command) -> String {
    let output = command.output();
    let text = output.map(|output| [output.stdout, output.stderr].concat());
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_told_where_the_upstream_is() {
        let upstream = SocketAddr::from(([127, 0, 0, 1], 4321));
        assert!(nginx(Path::new("/x"), 99, upstream).contains("server 127.0.0.1:4321;"));
        assert!(litellm(upstream).contains("api_base: http://127.0.0.1:4321/v1"));
        let (_, head) = Kind::Portkey.request(upstream);
        assert!(head.ends_with("x-portkey-custom-host: http://127.0.0.1:4321/v1\r\n"));
    }
}
