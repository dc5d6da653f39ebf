//! Whole MTAs behind the appliance, as routes lead to.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio};

use crate::{
    configuration::{ROOMY, with_domains},
    control::queued,
    exim::Exim,
    lab::{self, GUEST, HOST, Lab, text, wait_for},
    postfix::Postfix,
    requirements::available,
    swaks::swaks,
};

/// A key and a certificate that nobody signed.
fn certificate(lab: &Lab) -> (PathBuf, PathBuf) {
    let (key, certificate) = (lab.folder.join("key.pem"), lab.folder.join("certificate.pem"));
    let mut openssl = lab.command("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=next.example.net",
    ]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
    assert!(made.status.success(), "{}", text(&made));
    (key, certificate)
}

/// The messages in Postfix's only mailbox.
fn delivered(postfix: &Postfix<'_>) -> Vec<String> {
    let Ok(files) = fs::read_dir(postfix.folder.join("mail/all/new")) else { return Vec::new() };
    files.map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned()).collect()
}

fn log(postfix: &Postfix<'_>) -> String {
    fs::read_to_string(postfix.folder.join("log")).unwrap_or_default()
}

fn send(lab: &Lab, from: &str, to: &str) {
    let sent =
        swaks(lab, &["--from", from, "--to", to, "--h-Subject", "for an MTA", "--body", "first\n.dot"]);
    assert!(sent.status.success(), "{}", text(&sent));
}

#[test]
fn postfix_takes_mail_by_tls_in_chunks_and_a_bounce() {
    if !available(&["postfix", "openssl", "swaks"]) {
        return;
    }
    let lab = Lab::new();
    let (key, certificate) = certificate(&lab);
    let settings = format!(
        "virtual_mailbox_domains = example.com\n\
         virtual_mailbox_maps = static:all/\n\
         smtpd_recipient_restrictions =\n \
           check_recipient_access inline:{{nobody@example.com=REJECT}}, permit\n\
         smtpd_tls_security_level = encrypt\n\
         smtpd_tls_loglevel = 1\n\
         smtpd_tls_key_file = {}\n\
         smtpd_tls_cert_file = {}",
        key.display(),
        certificate.display()
    );
    let postfix = Postfix::start(&lab, 2526, &settings);
    let appliance = lab.start(&with_domains(&[("example.com", 2526)], ROOMY));
    send(&lab, "sender@example.net", "user@example.com");
    let message = wait_for("the message is in the mailbox", || delivered(&postfix).pop());
    assert!(message.contains("Subject: for an MTA\n") && message.contains("\nfirst\n.dot\n"), "{message}");

    // Refused: its sender, who has a mailbox there too, is told.
    send(&lab, "sender@example.com", "nobody@example.com");
    let bounce = wait_for("the bounce is in the mailbox", || {
        delivered(&postfix).into_iter().find(|text| text.contains("multipart/report"))
    });
    assert!(bounce.contains("Final-Recipient: rfc822; nobody@example.com\n"), "{bounce}");
    assert!(bounce.contains("Return-Path: <>\n"), "{bounce}");
    assert_eq!(wait_for("the queue is empty", || (queued(&lab) == 0).then_some(0)), 0);
    assert_eq!(delivered(&postfix).len(), 2);
    // What was used is logged at a connection's end.
    assert!(appliance.stop().success());
    let log =
        wait_for("the connection is at its end", || Some(log(&postfix)).filter(|log| log.contains("bdat=")));
    assert!(log.contains("TLSv1.3"), "{log}");
}

#[test]
fn exim_takes_mail_by_tls_in_chunks() {
    if !available(&["exim4", "openssl", "swaks"]) {
        return;
    }
    let lab = Lab::new();
    let (key, certificate) = certificate(&lab);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let settings = format!(
        "acl_smtp_rcpt = accept\n\
         queue_only\n\
         chunking_advertise_hosts = *\n\
         tls_advertise_hosts = *\n\
         tls_privatekey = {}\n\
         tls_certificate = {}",
        key.display(),
        certificate.display()
    );
    let exim = Exim::start(&lab, 2526, &settings, "");
    let _appliance = lab.start(&with_domains(&[("example.com", 2526)], ROOMY));
    for name in ["one", "two", "three"] {
        send(&lab, "sender@example.net", &format!("{name}@example.com"));
    }
    let arrived = exim.wait_for_log("<= sender@example.net", 3);
    // A `K` says that CHUNKING was used.
    let as_offered = |line: &&String| line.contains(" P=esmtps ") && line.contains(" K ");
    assert_eq!(arrived.iter().filter(as_offered).count(), 3, "{arrived:#?}");
    assert_eq!(wait_for("the queue is empty", || (queued(&lab) == 0).then_some(0)), 0);
    let bodies = exim.bodies();
    assert_eq!(bodies.len(), 3, "each came once");
    assert!(bodies.iter().all(|body| body.trim_end().ends_with("-D\nfirst\n.dot")), "{bodies:?}");
}

#[test]
fn smtp_sink_takes_each_message_once() {
    if !available(&["smtp-source", "smtp-sink"]) {
        return;
    }
    const MESSAGES: usize = 500;
    let lab = Lab::new();
    let folder = lab.folder.join("sink");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let mut sink = lab.command("smtp-sink");
    sink.args(["-u", "nobody", "-d", "%M.", &format!("{HOST}:2526"), "100"]).current_dir(&folder);
    let mut sink = sink.stdout(Stdio::null()).spawn().unwrap();
    lab.wait_for_port(2526);
    let _appliance = lab.start(&with_domains(&[("example.com", 2526)], ROOMY));
    let mut source = lab.command("smtp-source");
    source.args(["-N", "-s", "20", "-m", &MESSAGES.to_string(), "-f", "sender@example.net"]);
    let sent = source.args(["-t", "user@example.com", &GUEST.to_string()]).output().unwrap();
    assert!(sent.status.success(), "{}", text(&sent));
    assert_eq!(wait_for("the queue is empty", || (queued(&lab) == 0).then_some(0)), 0);
    lab::kill_tree(sink.id());
    sink.wait().unwrap();
    let files =
        fs::read_dir(&folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let recipients: Vec<String> = files
        .filter_map(|text| text.lines().find(|line| line.starts_with("X-Rcpt-Args")).map(str::to_owned))
        .collect();
    assert_eq!(recipients.len(), MESSAGES);
    assert_eq!(recipients.into_iter().collect::<BTreeSet<_>>().len(), MESSAGES, "each came once");
}
