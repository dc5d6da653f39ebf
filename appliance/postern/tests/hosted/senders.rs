//! Programs that send single messages, each in its own way.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use crate::{
    configuration::configuration,
    lab::{self, GUEST, Lab, text},
    next_hop::{NextHop, Received, listen},
    requirements::available,
    swaks::swaks,
};

/// The appliance between peers and a next hop.
struct Scene {
    lab: Lab,
    next_hop: NextHop,
    _appliance: lab::Appliance,
}

impl Scene {
    fn set(peers: &[&str]) -> Option<Scene> {
        if !available(peers) {
            return None;
        }
        let lab = Lab::new();
        let next_hop = NextHop::start(listen(&lab, 2526));
        let appliance = lab.start(&configuration(2526));
        Some(Scene { lab, next_hop, _appliance: appliance })
    }

    /// The next messages, by their subjects.
    fn take(&self, subjects: &[&str]) -> Vec<Received> {
        let mut received: Vec<Received> = subjects.iter().map(|_| self.next_hop.take()).collect();
        let found: BTreeSet<&str> = received.iter().map(Received::subject).collect();
        assert_eq!(found, subjects.iter().copied().collect());
        received.sort_by_key(|received| subjects.iter().position(|known| received.subject() == *known));
        received
    }
}

#[test]
fn swaks_by_each_of_its_ways() {
    let Some(scene) = Scene::set(&["swaks"]) else { return };
    let ways: [(&str, &[&str]); 5] = [
        ("plain", &[]),
        ("pipelined", &["--pipeline"]),
        ("TLS", &["--tls"]),
        ("TLS-pipelined", &["--tls", "--pipeline"]),
        ("HELO", &["--protocol", "SMTP"]),
    ];
    for (subject, how) in ways {
        let words = ["--to", "user@example.com", "--from", "sender@example.net", "--h-Subject", subject];
        let sent = swaks(&scene.lab, &[&words, how].concat());
        assert!(sent.status.success(), "{subject}: {}", text(&sent));
    }
    let received = scene.take(&ways.map(|(subject, _)| subject));
    let protocols: Vec<Option<&str>> = received.iter().map(Received::protocol).collect();
    assert_eq!(protocols, ["ESMTP", "ESMTP", "ESMTPS", "ESMTPS", "SMTP"].map(Some));
}

#[test]
fn python_s_smtplib_by_each_of_its_ways() {
    let Some(scene) = Scene::set(&["python3"]) else { return };
    let mut python = scene.lab.command("python3");
    let sent = python.args(["-c", include_str!("senders.py"), &GUEST.to_string()]).output().unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
    let subjects = ["plain", "second on one connection", "inside TLS", "Grüße", "in chunks"];
    for received in scene.take(&subjects) {
        let utf8 = received.subject() == "Grüße";
        assert_eq!(received.recipients, [if utf8 { "jörg@example.com" } else { "user@example.com" }]);
        let tls = received.subject() == "inside TLS";
        let protocol = if utf8 {
            "UTF8SMTP"
        } else if tls {
            "ESMTPS"
        } else {
            "ESMTP"
        };
        assert_eq!(received.protocol(), Some(protocol), "{}", received.text);
        let body = "First line\r\n.a dot\r\n..two dots\r\n.\r\nlast line\r\n";
        assert!(received.text.ends_with(body), "{}", received.text);
    }
}

#[test]
fn curl_plain_and_inside_tls() {
    let Some(scene) = Scene::set(&["curl"]) else { return };
    let subjects = ["plain", "tls"];
    for (subject, how) in subjects.into_iter().zip([&[][..], &["--ssl-reqd", "--insecure"]]) {
        let file = scene.lab.folder.join(subject);
        std::fs::write(&file, format!("Subject: {subject}\r\n\r\n.a dot\r\n")).unwrap();
        let mut curl = scene.lab.command("curl");
        curl.args(["--silent", "--show-error", "--mail-from", "sender@example.net"]).args(how);
        curl.args(["--mail-rcpt", "user@example.com", "--upload-file"]).arg(&file);
        let sent = curl.arg(format!("smtp://{GUEST}/curl.example.net")).output().unwrap();
        assert!(sent.status.success(), "{subject}: {}", text(&sent));
    }
    let received = scene.take(&subjects);
    assert_eq!(received[1].protocol(), Some("ESMTPS"));
    assert!(received.iter().all(|received| received.text.ends_with("\r\n\r\n.a dot\r\n")));
}

#[test]
fn openssl_s_client_with_starttls() {
    let Some(scene) = Scene::set(&["openssl"]) else { return };
    // What does not answer must not keep the test for ever.
    let mut openssl = scene.lab.command("timeout");
    openssl.args([
        "60",
        "openssl",
        "s_client",
        "-quiet",
        "-crlf",
        "-starttls",
        "smtp",
        "-connect",
        &format!("{GUEST}:25"),
    ]);
    let mut child =
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut replies = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut input = child.stdin.take().unwrap();
    let dialogue = [
        ("EHLO client.example.net\n", "250 "),
        ("MAIL FROM:<sender@example.net>\n", "250 "),
        ("RCPT TO:<user@example.com>\n", "250 "),
        ("DATA\n", "354 "),
        ("Subject: by hand\n\nhello\n.\n", "250 "),
        ("QUIT\n", "221 "),
    ];
    for (command, expected) in dialogue {
        input.write_all(command.as_bytes()).unwrap();
        let last = |line: &String| line.as_bytes().get(3) == Some(&b' ');
        let reply = replies.by_ref().map(Result::unwrap).find(last).unwrap_or_default();
        assert!(reply.starts_with(expected), "{command:?}: {reply:?}");
    }
    child.wait().unwrap();
    assert_eq!(scene.take(&["by hand"])[0].protocol(), Some("ESMTPS"));
}
