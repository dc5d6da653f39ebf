//! Programs that nobody here wrote, over the loopback interface of the machine that runs the tests. Where one is not
//! installed its test says so and passes; but `cargo postern test`, which installs them, sets `POSTERN_PEERS`, and
//! then it fails.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use config_schema::Config;
use config_schema::name::DomainName;
use gateway::appliance::Appliance;
use gateway::clock::Clock;
use gateway::directory::Directory;
use gateway::listener::{Accepted, Bulk, Listener};
use gateway::tls::identity::SelfSigned;
use gateway::tls::server::ServerTls;
use store::Store;
use store::testing::MemoryDisk;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

const CONFIG: &str = r#"
version = 1
[network]
hostname = "mx.example.com"
address = "dhcp"
[[domain]]
name = "example.com"
realm = "base"
route = ["mail.example.com"]
[[known-network]]
name = "this machine"
network = ["127.0.0.0/8"]
"#;

struct Served {
    store: Store,
    port: u16,
}

async fn served() -> Served {
    let store = Store::open(Arc::new(MemoryDisk::new(96 << 20)), store::Limits::default()).unwrap();
    let (_config, watched) = watch::channel(Arc::new(Config::parse("test.toml", CONFIG).unwrap()));
    let clock = Clock::system();
    let own = SelfSigned::make(&DomainName::parse("mx.example.com").unwrap(), clock.now()).unwrap();
    let tls = ServerTls::new(own.identity()).unwrap();
    let appliance = Appliance::new(store.clone(), watched, clock);
    let listener = Listener::new(appliance.clone(), Directory::unconnected(appliance), tls);
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = socket.accept().await {
            let local = stream.local_addr().unwrap();
            tokio::spawn(listener.clone().serve(Accepted { stream, peer, local, bulk: Bulk::default() }));
        }
    });
    Served { store, port }
}

/// Runs a program to its end; `None` if it is not installed.
async fn run(program: &'static str, arguments: Vec<String>, input: &'static [u8]) -> Option<Output> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(std::env::var_os("POSTERN_PEERS").is_none(), "this test needs {program}");
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    let done = spawn_blocking(move || {
        use std::io::Write;
        let mut stdin = child.stdin.take().unwrap();
        // A program that reads nothing may end before this is written.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().unwrap()
    });
    Some(done.await.unwrap())
}

fn arguments(line: &str) -> Vec<String> {
    line.split(' ').map(ToOwned::to_owned).collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaks_sends_plain_pipelined_and_inside_tls() {
    let served = served().await;
    for (sent, how) in
        ["", " --pipeline", " --tls", " --tls --pipeline", " --protocol SMTP"].into_iter().enumerate()
    {
        let line = format!(
            "--server 127.0.0.1:{} --from ann@example.org --to bob@example.com --h-Subject one{how}",
            served.port
        );
        let Some(output) = run("swaks", arguments(&line), b"").await else { return };
        assert!(output.status.success(), "{how}: {}", text(&output));
        assert_eq!(served.store.usage().messages, sent as u64 + 1, "{how}");
    }
    let line = format!("--server 127.0.0.1:{} --from ann@example.org --to x@example.org", served.port);
    let refused = run("swaks", arguments(&line), b"").await.unwrap();
    assert!(!refused.status.success() && text(&refused).contains("550 5.7.1"), "{}", text(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smtp_source_sends_a_thousand_messages_over_fifty_connections() {
    let served = served().await;
    let line =
        format!("-s 50 -m 1000 -l 5000 -f ann@example.org -t bob@example.com 127.0.0.1:{}", served.port);
    let Some(output) = run("smtp-source", arguments(&line), b"").await else { return };
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(served.store.usage().messages, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_is_served_by_current_versions_of_tls_only() {
    let served = served().await;
    let connect = format!("s_client -brief -starttls smtp -connect 127.0.0.1:{}", served.port);
    for (version, taken) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        let line = format!("{connect} {version}");
        let Some(output) = run("openssl", arguments(&line), b"").await else { return };
        let said = text(&output);
        assert_eq!(said.contains("Peer certificate: CN = mx.example.com"), taken, "{version}: {said}");
    }
}

/// Protocols, ciphers, what is offered by default, and every known attack; not the simulations of clients, which
/// take minutes.
const TESTSSL_CHECKS: &str = "-p -s -S -U";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn testssl_finds_nothing_above_low_but_that_nobody_signed_our_certificate() {
    let served = served().await;
    let report = std::env::temp_dir().join(format!("postern-testssl-{}.json", std::process::id()));
    let line = format!(
        "--quiet --color 0 --warnings batch --openssl-timeout 10 {TESTSSL_CHECKS} --jsonfile {} --starttls smtp \
         127.0.0.1:{}",
        report.display(),
        served.port
    );
    let Some(_) = run("testssl", arguments(&line), b"").await else { return };
    let found: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    std::fs::remove_file(&report).unwrap();
    // What follows from a certificate of our own: no authority, hence no revocation.
    let excused = [
        "cert_chain_of_trust",
        "cert_crlDistributionPoints",
        "cert_revocation",
        "cert_trust",
        "overall_grade",
    ];
    let bad: Vec<_> = found
        .iter()
        .filter(|finding| {
            !excused.iter().any(|id| finding["id"].as_str().unwrap_or_default().starts_with(id))
        })
        .filter(|finding| ["MEDIUM", "HIGH", "CRITICAL"].iter().any(|s| finding["severity"] == **s))
        .collect();
    assert!(!found.is_empty() && bad.is_empty(), "{bad:#?}");
}
