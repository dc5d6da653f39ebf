//! A client that says what it is told to say.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use crate::lab::{GUEST, Lab, PATIENCE};

/// Sends one message to all of these; returns what each RCPT was answered.
pub(crate) fn send_to(lab: &Lab, recipients: &[&str]) -> Vec<String> {
    let recipients: Vec<String> = recipients.iter().map(|recipient| (*recipient).to_owned()).collect();
    lab.inside(move || {
        let stream = TcpStream::connect((GUEST, 25)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut replies = BufReader::new(stream.try_clone().unwrap());
        let mut say = |line: &str| {
            (&stream).write_all(line.as_bytes()).unwrap();
            reply(&mut replies)
        };
        assert!(say("").starts_with("220"));
        assert!(say("EHLO client.example.net\r\n").starts_with("250"));
        let plain = recipients.iter().all(|recipient| recipient.is_ascii());
        let parameter = if plain { "" } else { " SMTPUTF8" };
        assert!(say(&format!("MAIL FROM:<sender@example.net>{parameter}\r\n")).starts_with("250"));
        let said: Vec<String> =
            recipients.iter().map(|recipient| say(&format!("RCPT TO:<{recipient}>\r\n"))).collect();
        if said.iter().any(|reply| reply.starts_with("250")) {
            assert!(say("DATA\r\n").starts_with("354"));
            let taken = say("Subject: to each\r\n\r\nHello\r\n.\r\n");
            assert!(taken.starts_with("250"), "{taken}");
        }
        said
    })
}

/// The last line of a reply.
fn reply(replies: &mut impl BufRead) -> String {
    loop {
        let mut line = String::new();
        assert!(replies.read_line(&mut line).unwrap() > 0, "the connection is open");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    }
}
