//! `aio health`: what a container platform runs to learn whether the process in the container serves. It needs no runtime, no database
//! and no secret: one request to the admin listener.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use chassis::config::Settings;

use crate::{config::Config, say};

/// How long connecting may take, and every wait for the answer: platforms ask every few seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is read of the answer: its first line is shorter.
const FIRST_LINE: u64 = 256;

/// Says whether the process serves; exits 0 only if it does.
pub(crate) fn health(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config: Config = settings.section("server")?;
    let address = near(config.admin_listen);
    let answer = ask(address).with_context(|| format!("nobody answers on {address}"))?;
    if is_ready(&answer) {
        say::line("ready");
        return Ok(ExitCode::SUCCESS);
    }
    say::line("not ready");
    Ok(ExitCode::FAILURE)
}

/// Whether somebody who speaks as we do listens for questions about health.
pub(crate) fn is_there(admin_listen: SocketAddr) -> bool {
    ask(near(admin_listen)).is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 "))
}

/// How this machine reaches an address that is listened on: one that stands for all of its own is none to connect to.
fn near(listened: SocketAddr) -> SocketAddr {
    let ip = match listened.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listened.port())
}

/// The beginning of the answer to `GET /readyz`.
fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(FIRST_LINE).read_to_end(&mut answer)?;
    Ok(answer)
}

fn is_ready(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200 ")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn what_is_listened_on_everywhere_is_asked_here() {
        for (listened, asked) in [
            ("0.0.0.0:9900", "127.0.0.1:9900"),
            ("[::]:9900", "[::1]:9900"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(near(listened.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn only_who_says_so_is_ready() {
        let told = |answer: &'static [u8]| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let served = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // To its end: what is closed with something unread takes its answer with it.
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                assert!(request.starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(answer).unwrap();
            });
            let asked = ask(address);
            served.join().unwrap();
            asked.is_ok_and(|answer| is_ready(&answer))
        };
        assert!(told(b"HTTP/1.1 200 OK\r\n\r\nok"));
        assert!(!told(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
        assert!(!told(b""));
    }

    #[test]
    fn who_is_not_there_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(ask(address).is_err());
    }
}
