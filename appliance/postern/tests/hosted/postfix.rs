//! Postfix as a whole MTA, with folders of its own: the machine's own service is never touched.

use std::{fs, os::unix::fs::chown, path::PathBuf};

use crate::lab::{Lab, text, wait_for};

/// A running Postfix; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Postfix<'a> {
    lab: &'a Lab,
    pub(crate) folder: PathBuf,
}

/// Debian's services, without chroot, and without a listener: that is added by its port.
const SERVICES: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
flush unix n - n 1000? 0 flush
postlog unix-dgram n - n - 1 postlogd
";

/// Debian's `nobody`, to whom delivered files belong.
const NOBODY: u32 = 65_534;

impl<'a> Postfix<'a> {
    /// Listens on `port` of the peers' end; `settings` are lines of its `main.cf`.
    pub(crate) fn start(lab: &'a Lab, port: u16, settings: &str) -> Postfix<'a> {
        let folder = lab.folder.join("postfix");
        for name in ["etc", "queue", "data", "mail"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        chown(folder.join("data"), Some(user("postfix")), None).unwrap();
        chown(folder.join("mail"), Some(NOBODY), None).unwrap();
        let at = folder.display();
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {at}/queue\n\
             data_directory = {at}/data\n\
             maillog_file = {at}/log\n\
             maillog_file_prefixes = {at}\n\
             inet_protocols = ipv4\n\
             myhostname = postfix.example.net\n\
             mydestination =\n\
             mynetworks = 0.0.0.0/0\n\
             alias_maps =\n\
             virtual_mailbox_base = {at}/mail\n\
             virtual_uid_maps = static:{NOBODY}\n\
             virtual_gid_maps = static:{NOBODY}\n\
             {settings}\n"
        );
        fs::write(folder.join("etc/main.cf"), main).unwrap();
        fs::write(folder.join("etc/master.cf"), format!("{port} inet n - n - - smtpd\n{SERVICES}")).unwrap();
        let postfix = Postfix { lab, folder };
        postfix.run("postfix", &["start"]);
        lab.wait_for_port(port);
        postfix
    }

    /// Runs one of its commands.
    fn run(&self, command: &str, words: &[&str]) -> String {
        text(&self.lab.command(command).arg("-c").arg(self.folder.join("etc")).args(words).output().unwrap())
    }

    /// Returns when nothing waits in its queue any more.
    pub(crate) fn wait_until_empty(&self) {
        wait_for("Postfix empties its queue", || {
            self.run("postqueue", &["-p"]).contains("Mail queue is empty").then_some(())
        });
    }
}

impl Drop for Postfix<'_> {
    fn drop(&mut self) {
        self.run("postfix", &["stop"]);
    }
}

fn user(name: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
    line.split(':').nth(2).unwrap().parse().unwrap()
}
