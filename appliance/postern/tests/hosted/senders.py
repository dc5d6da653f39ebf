"""Sends to the server named by the first argument, by each way that smtplib knows; a subject names the way."""

import smtplib
import ssl
import sys
from email.message import EmailMessage

server = sys.argv[1]
anyone = ssl.create_default_context()
anyone.check_hostname = False
anyone.verify_mode = ssl.CERT_NONE


def connect():
    return smtplib.SMTP(server, 25, local_hostname="python.example.net", timeout=60)


def message(subject, recipient="user@example.com"):
    text = EmailMessage()
    text["From"], text["To"], text["Subject"] = "sender@example.net", recipient, subject
    text.set_content("First line\n.a dot\n..two dots\n.\nlast line\n")
    return text


def check(reply, code):
    if reply[0] != code:
        sys.exit(f"expected {code}, got {reply}")


def in_chunks(smtp, subject):
    body = message(subject).as_bytes().replace(b"\n", b"\r\n")
    head, tail = body[: len(body) // 2], body[len(body) // 2 :]
    check(smtp.docmd("MAIL", "FROM:<sender@example.net> BODY=8BITMIME"), 250)
    check(smtp.docmd("RCPT", "TO:<user@example.com>"), 250)
    smtp.send(f"BDAT {len(head)}\r\n".encode() + head)
    check(smtp.getreply(), 250)
    smtp.send(f"BDAT {len(tail)} LAST\r\n".encode() + tail)
    check(smtp.getreply(), 250)


with connect() as smtp:
    smtp.send_message(message("plain"))
    smtp.send_message(message("second on one connection"))
with connect() as smtp:
    smtp.starttls(context=anyone)
    smtp.send_message(message("inside TLS"))
with connect() as smtp:
    smtp.send_message(message("Grüße", "jörg@example.com"))
with connect() as smtp:
    smtp.ehlo()
    in_chunks(smtp, "in chunks")
