//! Dovecot by IMAP and POP3 over TLS, with users and folders of the test's own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
};

use crate::{
    certificates::Site,
    lab::{HOST, Lab, wait_for},
    requirements::program,
};

/// The port of IMAP over TLS.
pub(crate) const IMAPS: u16 = 993;
/// The port of POP3 over TLS.
pub(crate) const POP3S: u16 = 995;

/// A running Dovecot; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Dovecot(Child);

impl Dovecot {
    /// Starts one that shows `site` and knows these names by their passwords.
    pub(crate) fn start(lab: &Lab, site: &Site, users: &[(&str, &str)]) -> Dovecot {
        let folder = lab.folder.join("dovecot");
        let mail = folder.join("mail");
        fs::create_dir_all(&mail).unwrap();
        // Its processes run as other users.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&mail, fs::Permissions::from_mode(0o777)).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("cert.pem", &site.certificate);
        write("key.pem", &site.key);
        let users = users.iter().map(|(name, password)| format!("{name}:{{PLAIN}}{password}::::::\n"));
        write("users", &users.collect::<String>());
        let at = folder.display();
        let unchrooted: String = ["imap-login", "pop3-login", "anvil", "auth", "stats"]
            .map(|service| format!("service {service} {{\n  chroot =\n}}\n"))
            .concat();
        write(
            "dovecot.conf",
            &format!(
                "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\n\
                 protocols = imap pop3\nlisten = {HOST}\n\
                 ssl = required\nssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\n\
                 auth_mechanisms = plain\nauth_failure_delay = 0\n\
                 first_valid_uid = 1\nmail_location = maildir:{at}/mail/%n\n\
                 passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN username_format=%u {at}/users\n}}\n\
                 userdb {{\n  driver = static\n  args = uid=dovecot gid=dovecot home={at}/mail/%n\n}}\n\
                 service imap-login {{\n  inet_listener imap {{\n    port = 0\n  }}\n  \
                 inet_listener imaps {{\n    port = {IMAPS}\n    ssl = yes\n  }}\n}}\n\
                 service pop3-login {{\n  inet_listener pop3 {{\n    port = 0\n  }}\n  \
                 inet_listener pop3s {{\n    port = {POP3S}\n    ssl = yes\n  }}\n}}\n\
                 {unchrooted}"
            ),
        );
        let dovecot = program("dovecot").expect("Dovecot is installed");
        let mut command = lab.command(dovecot);
        command.arg("-F").arg("-c").arg(folder.join("dovecot.conf")).stdout(Stdio::null());
        let dovecot = Dovecot(command.spawn().unwrap());
        lab.wait_for_port(IMAPS);
        lab.wait_for_port(POP3S);
        dovecot
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its children end with it only when it is asked.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        wait_for("Dovecot ends", || self.0.try_wait().unwrap());
    }
}
