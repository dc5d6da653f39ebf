//! Floods and forgeries by foreign programs: while each lasts a known good client is served, and nothing of it
//! is left afterwards.
//!
//! Needs root, `unshare` and `ip`, as `tests/linux.rs`; and hping3, nmap and scapy, whose absence is a failure.
#![allow(clippy::unwrap_used, reason = "tests")]

mod host;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use host::{MAC, OURS, PATIENCE, Role, TAP, inside, ours, round_trip};
use net::Device;

/// Debian's, which sees Debian's scapy.
const PYTHON: &str = "/usr/bin/python3";
const STRANGER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/strangers/stranger.py");
/// Between two connections of the good client.
const PAUSE: Duration = Duration::from_millis(5);
/// Connections and half-open ones that strangers leave behind are gone within this; see the deadlines below.
const FORGOTTEN: Duration = Duration::from_secs(60);

fn role() -> Role {
    // What a stranger sends in our name or the host's must not mislead the host itself.
    let fixed = format!("neigh replace {OURS} lladdr 02:00:00:00:00:10 dev t0 nud permanent");
    assert!(Command::new("ip").args(fixed.split(' ')).status().unwrap().success());
    let device = Device::tap(sys::tap::open("t0").unwrap(), MAC, 1_500);
    Role::with(device, |configure| {
        configure.routers = vec![host::HOST.parse().unwrap()];
        configure.limits.new_per_minute = 1_000_000;
        let deadlines = &mut configure.deadlines;
        (deadlines.zero_window, deadlines.zero_window_bulk, deadlines.unacknowledged) = (10, 10, 10);
        (deadlines.fin_wait_1, deadlines.fin_wait_2, deadlines.last_ack) = (5, 5, 5);
    })
}

fn hping3(words: &str) -> Command {
    let mut command = Command::new("hping3");
    command.args(["-q", "-I", "t0"]).args(words.split(' ')).arg(OURS);
    command
}

fn stranger(attack: &str) -> Command {
    let mut command = Command::new(PYTHON);
    command.args([STRANGER, attack]);
    command
}

/// Runs one attack after the other beside a good client; what the attackers said.
fn under_attack(role: &mut Role, attacks: Vec<Command>) -> String {
    role.serve(|| {
        let mut said = String::new();
        for mut attack in attacks {
            let name = format!("{attack:?}");
            let mut child = attack.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program");
            let (mut worst, mut times) = (Duration::ZERO, 0);
            // At least once, and as often as the attack lasts.
            while times == 0 || child.try_wait().unwrap().is_none() {
                let began = Instant::now();
                connects();
                worst = worst.max(began.elapsed());
                times += 1;
                std::thread::sleep(PAUSE);
                assert!(began.elapsed() < PATIENCE, "served in time under {name}");
            }
            let output = child.wait_with_output().unwrap();
            // hping3 says 1 when nobody answered it; Python, when it has no scapy.
            let allowed = if name.contains("hping3") { [0, 1] } else { [0, 0] };
            assert!(
                output.status.code().is_some_and(|code| allowed.contains(&code)),
                "{name}: {}",
                output.status
            );
            println!("a good client, {times} times: {} ms at worst under {name}", worst.as_millis());
            said.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        said
    })
}

/// A new connection that is served.
fn connects() {
    let mut stream = TcpStream::connect_timeout(&ours(7)[0], PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"EHLO").unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
}

/// Nothing is left that a stranger caused, but what is bounded and runs out by itself.
fn nothing_is_left(role: &mut Role) {
    let end = Instant::now() + FORGOTTEN;
    loop {
        let statistics = role.statistics();
        let get = |name| statistics.counters.iter().find(|c| c.name == name).map_or(0, |c| c.value);
        assert!(get("tcp.half_open") <= 8_192 && get("tcp.time_wait") <= 65_536, "{statistics:?}");
        assert!(get("link.neighbours") <= 512, "{statistics:?}");
        if ["tcp.flows", "tcp.half_open", "udp.flows", "tcp.buffers_granted"]
            .iter()
            .all(|name| get(name) == 0)
        {
            return;
        }
        assert!(Instant::now() < end, "{statistics:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn survives(attacks: Vec<Command>) {
    let mut role = role();
    under_attack(&mut role, attacks);
    nothing_is_left(&mut role);
    role.serve(|| ours(7).into_iter().for_each(|to| round_trip(to, 100_000, 1)));
    role.stop();
}

#[test]
fn floods_of_segments() {
    if inside("floods_of_segments", TAP) {
        survives(vec![
            hping3("-S -p 7 -c 30000 -i u10 --rand-source"),
            hping3("-A -p 7 -c 30000 -i u10 --rand-source"),
            hping3("-R -p 7 -c 30000 -i u10 --rand-source"),
            hping3("-F -p 7 -c 30000 -i u10 --rand-source"),
            hping3("-F -P -U -p 7 -c 10000 -i u10 --rand-source"),
            hping3("-S -A -p 7 -c 10000 -i u10 --rand-source"),
        ]);
    }
}

#[test]
fn floods_of_datagrams_and_echoes() {
    if inside("floods_of_datagrams_and_echoes", TAP) {
        survives(vec![
            hping3("--udp -p 53 -c 20000 -i u10 --rand-source"),
            hping3("--icmp -c 20000 -i u10 --rand-source"),
            hping3("--icmp -c 10000 -i u10 -d 1400"),
            hping3("--icmp -c 1000 -i u10 -d 4000"),
        ]);
    }
}

#[test]
fn land_and_smurf() {
    if inside("land_and_smurf", TAP) {
        let land = hping3(&format!("-S -a {OURS} -s 7 -k -p 7 -c 5000 -i u10"));
        let mut smurf = Command::new("hping3");
        smurf.args("-q -I t0 --icmp -a 10.9.0.77 -c 5000 -i u10 10.9.0.255".split(' '));
        survives(vec![land, smurf]);
    }
}

#[test]
fn windows_that_never_open() {
    if inside("windows_that_never_open", TAP) {
        survives(vec![stranger("sockstress")]);
    }
}

#[test]
fn the_smallest_segments_with_sack() {
    if inside("the_smallest_segments_with_sack", TAP) {
        survives(vec![stranger("sack_panic")]);
    }
}

#[test]
fn forged_errors_and_oddities() {
    if inside("forged_errors_and_oddities", TAP) {
        survives(vec![stranger("forged_errors"), stranger("oddities")]);
    }
}

#[test]
fn spoofed_neighbours_and_routers() {
    if inside("spoofed_neighbours_and_routers", TAP) {
        survives(vec![stranger("arp_spoofing"), stranger("ra_spoofing")]);
    }
}

#[test]
fn a_scan_finds_our_port_and_no_other() {
    if !inside("a_scan_finds_our_port_and_no_other", TAP) {
        return;
    }
    let mut role = role();
    let mut nmap = Command::new("nmap");
    nmap.args("-n -Pn -sS -O -T4 --max-retries 1 --host-timeout 100s -p 1-1024 -oG -".split(' ')).arg(OURS);
    let said = under_attack(&mut role, vec![nmap]);
    let ports: Vec<&str> = said.split([' ', ',', '\t']).filter(|word| word.contains("/open/")).collect();
    assert_eq!(ports.len(), 1, "{said}");
    assert!(ports[0].starts_with("7/open/tcp"), "{said}");
    nothing_is_left(&mut role);
    role.stop();
}
