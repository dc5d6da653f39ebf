//! Measures look-ups, logins and the whole read of a directory of 200,000 entries, beside OpenLDAP's own client tool.
//! Prints figures; given `--json FILE` writes them there.
#![allow(clippy::unwrap_used, reason = "a program that measures")]

#[path = "../tests/ldap/certificates.rs"]
mod certificates;
#[path = "../tests/ldap/slapd.rs"]
mod slapd;
#[path = "../tests/ldap/world.rs"]
mod world;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use config_schema::Secret;
use directory::answer::LookupAnswer;
use directory::ldap::login::LoginAnswer;
use gateway::directory::ldap::LdapDirectory;
use serde_json::json;
use smtp::address::Address;
use tokio::sync::Semaphore;

use certificates::Authority;
use slapd::{BASE, Slapd, entry};
use world::{Doors, FIRST, NAME, first};

const ENTRIES: usize = 200_000;
const LOOK_UPS: usize = 20_000;
const LOGINS: usize = 400;
/// Questions under way.
const AT_ONCE: usize = 200;

#[tokio::main]
async fn main() {
    let people: String = (0..ENTRIES).map(person).collect();
    let authority = Authority::new();
    let started = Instant::now();
    let slapd = Slapd::start(&authority.site(NAME, first()), &people);
    println!("{ENTRIES} entries loaded by slapd in {:.1} s", started.elapsed().as_secs_f64());
    drop(people);
    let doors = Doors::default();
    doors.lead(FIRST, 636, slapd.tls);
    let directory = world::directory(&doors, &authority, "page-size = 1000\n");

    let (read, recipients) = whole_read(&directory).await;
    assert_eq!(recipients, ENTRIES);
    println!("whole read over LDAPS: {:.1} s, {:.0} entries/s", seconds(read), per_second(ENTRIES, read));
    let tool = tool(&slapd);
    println!("ldapsearch in the clear: {:.1} s, {:.0} entries/s", seconds(tool), per_second(ENTRIES, tool));
    let asked = look_ups(&directory).await;
    println!("look-ups, {AT_ONCE} under way: {:.0}/s", per_second(LOOK_UPS, asked));
    let again = look_ups(&directory).await;
    println!("the same from memory: {:.0}/s", per_second(LOOK_UPS, again));
    let logged_in = logins(&directory).await;
    println!("logins, each on a fresh connection: {:.0}/s", per_second(LOGINS, logged_in));

    let figures = json!({
        "entries": ENTRIES,
        "whole_read_entries_per_second": per_second(ENTRIES, read),
        "ldapsearch_entries_per_second": per_second(ENTRIES, tool),
        "look_ups_per_second": per_second(LOOK_UPS, asked),
        "remembered_per_second": per_second(LOOK_UPS, again),
        "logins_per_second": per_second(LOGINS, logged_in),
    });
    let mut arguments = std::env::args().skip_while(|argument| argument != "--json").skip(1);
    if let Some(file) = arguments.next() {
        std::fs::write(file, figures.to_string()).unwrap();
    }
}

fn person(n: usize) -> String {
    let (name, first, second) =
        (format!("u{n}"), format!("SMTP:u{n}@example.com"), format!("smtp:also{n}@example.com"));
    let password = format!("password-{n}");
    let attributes = [
        ("sAMAccountName", &name[..]),
        ("proxyAddresses", &first),
        ("proxyAddresses", &second),
        ("userPassword", &password),
    ];
    entry(&name, "user", &attributes)
}

async fn whole_read(directory: &LdapDirectory) -> (Duration, usize) {
    let started = Instant::now();
    let mut reading = directory.read_all();
    let mut recipients = 0;
    while let Some(page) = reading.next().await.unwrap() {
        recipients += page.len();
    }
    (started.elapsed(), recipients)
}

/// The same read by OpenLDAP's tool, without TLS.
fn tool(slapd: &Slapd) -> Duration {
    let started = Instant::now();
    let mut program = Command::new("ldapsearch");
    program.args(["-x", "-LLL", "-E", "pr=1000/noprompt", "-H", &format!("ldap://{}", slapd.plain)]);
    program.args(["-D", &format!("cn=reader,{BASE}"), "-w", "reader-secret", "-b", BASE]);
    program.args([
        "(proxyAddresses=*)",
        "objectClass",
        "sAMAccountName",
        "proxyAddresses",
        "mail",
        "entryUUID",
    ]);
    let status = program.stdout(Stdio::null()).status().expect("ldap-utils are installed");
    assert!(status.success());
    started.elapsed()
}

async fn look_ups(directory: &LdapDirectory) -> Duration {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for n in 0..LOOK_UPS {
        let turn = turns.clone().acquire_owned().await.unwrap();
        let directory = directory.clone();
        tasks.push(tokio::spawn(async move {
            let address = Address::parse(&format!("also{n}@example.com")).unwrap();
            let answer = directory.look_up(&address).await;
            assert!(matches!(answer, LookupAnswer::Stream { .. }), "{answer:?}");
            drop(turn);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    started.elapsed()
}

async fn logins(directory: &LdapDirectory) -> Duration {
    let started = Instant::now();
    let tasks: Vec<_> = (0..LOGINS)
        .map(|n| {
            let directory = directory.clone();
            tokio::spawn(async move {
                directory.log_in(&format!("u{n}"), Secret::new(format!("password-{n}"))).await
            })
        })
        .collect();
    for task in tasks {
        let answer = task.await.unwrap();
        assert!(matches!(answer, LoginAnswer::Ok(_)), "{answer:?}");
    }
    started.elapsed()
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn per_second(count: usize, time: Duration) -> f64 {
    (count as f64 / seconds(time)).round()
}
