//! A socket that is kept open while the relayer is restarted, as systemd does: nobody is refused meanwhile.

use super::system::System;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the relayer with `socket` as its descriptor 3, and says so as sd_listen_fds(3) wants it.
fn serve(system: &System, socket: OwnedFd) -> Child {
    Command::new("sh")
        .arg("-c")
        .arg("export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" serve \"$1\" 3<&0 </dev/null")
        .arg(env!("CARGO_BIN_EXE_steam"))
        .arg(system.file("steam.toml"))
        .env("RUST_LOG", "error")
        .stdin(Stdio::from(socket))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The status line of the answer to a request that is sent at once and answered when somebody takes the connection.
async fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_during_a_restart_waits_for_the_next_process() {
    let system = System::start().await;
    system.configure();
    let kept = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = kept.local_addr().unwrap();
    let mut first = serve(&system, kept.try_clone().unwrap().into());
    let answer = timeout(PATIENCE, ask(address)).await.unwrap();
    assert_eq!(answer, "HTTP/1.1 200 OK", "the socket that was handed over is the one that is served");
    let stop = Command::new("kill").args(["-TERM", &first.id().unwrap().to_string()]).status().await.unwrap();
    assert!(stop.success() && timeout(PATIENCE, first.wait()).await.unwrap().unwrap().success());

    let waits = tokio::spawn(ask(address));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waits.is_finished(), "nobody is there, and nobody is refused");
    let _second = serve(&system, kept.into());
    assert_eq!(timeout(PATIENCE, waits).await.unwrap().unwrap(), "HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_socket_for_connections_is_refused_with_what_to_do() {
    let system = System::start().await;
    system.configure();
    let relayer = serve(&system, UdpSocket::bind("127.0.0.1:0").unwrap().into());
    let ended = timeout(PATIENCE, relayer.wait_with_output()).await.unwrap().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cannot use the socket that LISTEN_FDS hands over") && told.contains("steam.socket"),
        "{told}"
    );
}
