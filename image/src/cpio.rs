//! A `newc` cpio archive, as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format).
//!
//! The same entries always give the same bytes: inode numbers count up, owner and times are 0, and the
//! entries are sorted by name, which also puts a folder before what is in it.

use std::collections::BTreeMap;

/// An archive being made.
#[derive(Debug, Default)]
pub struct Archive(BTreeMap<String, Node>);

#[derive(Debug)]
enum Node {
    Folder,
    File { mode: u32, content: Vec<u8> },
    CharacterDevice { mode: u32, major: u32, minor: u32 },
}

impl Archive {
    /// An archive without entries.
    pub fn new() -> Self {
        Archive::default()
    }

    /// Adds an empty folder, mode 0755.
    pub fn folder(mut self, name: &str) -> Self {
        self.0.insert(name.to_owned(), Node::Folder);
        self
    }

    /// Adds an ordinary file. `mode` holds the permission bits only. A file of 4 GiB or more does not fit
    /// the format's size field; its size is cut there, and the kernel refuses the archive.
    pub fn file(mut self, name: &str, mode: u32, content: Vec<u8>) -> Self {
        self.0.insert(name.to_owned(), Node::File { mode, content });
        self
    }

    /// Adds a character device.
    pub fn character_device(mut self, name: &str, mode: u32, (major, minor): (u32, u32)) -> Self {
        self.0.insert(name.to_owned(), Node::CharacterDevice { mode, major, minor });
        self
    }

    /// The archive's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (inode, (name, node)) in (1..).zip(&self.0) {
            write_entry(&mut bytes, inode, name, node);
        }
        write_header(&mut bytes, &Header { links: 1, ..Header::default() }, TRAILER);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    links: u32,
    size: u32,
    device: (u32, u32),
}

fn write_entry(bytes: &mut Vec<u8>, inode: u32, name: &str, node: &Node) {
    let header = match node {
        Node::Folder => Header { inode, mode: S_IFDIR | 0o755, links: 2, ..Header::default() },
        Node::File { mode, content } => {
            Header { inode, mode: S_IFREG | mode, links: 1, size: content.len() as u32, ..Header::default() }
        }
        Node::CharacterDevice { mode, major, minor } => {
            Header { inode, mode: S_IFCHR | mode, links: 1, device: (*major, *minor), ..Header::default() }
        }
    };
    write_header(bytes, &header, name);
    if let Node::File { content, .. } = node {
        bytes.extend_from_slice(content);
        pad(bytes);
    }
}

fn write_header(bytes: &mut Vec<u8>, header: &Header, name: &str) {
    let (major, minor) = header.device;
    // uid, gid, mtime, and the archive's own device are 0; the name's length counts its NUL.
    let fields = [
        header.inode,
        header.mode,
        0,
        0,
        header.links,
        0,
        header.size,
        0,
        0,
        major,
        minor,
        name.len() as u32 + 1,
        0,
    ];
    bytes.extend_from_slice(b"070701");
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";
/// What cpio itself pads an archive to.
const BLOCK: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;
    use crate::workspace::Scratch;

    fn sample() -> Archive {
        Archive::new().file("init", 0o755, b"program".to_vec()).folder("dev").character_device(
            "dev/console",
            0o600,
            (5, 1),
        )
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let other = Archive::new().character_device("dev/console", 0o600, (5, 1)).folder("dev").file(
            "init",
            0o755,
            b"program".to_vec(),
        );
        assert_eq!(sample().to_bytes(), other.to_bytes());
    }

    #[test]
    fn cpio_reads_it() {
        let scratch = Scratch::new("cpio").unwrap();
        let archive = scratch.path().join("archive");
        std::fs::write(&archive, sample().to_bytes()).unwrap();
        let list = Program::new("sh", "list the archive")
            .args(["-c", "TZ=UTC cpio -t -v -n --quiet < \"$0\""])
            .arg(&archive)
            .output()
            .unwrap();
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines.len(), 3, "{list}");
        assert!(lines[0].starts_with("drwxr-xr-x   2 0        0"), "{list}");
        assert!(lines[0].ends_with(" dev"), "{list}");
        assert!(lines[1].starts_with("crw-------   1 0        0") && lines[1].contains("5,   1"), "{list}");
        assert!(lines[2].contains("7 Jan  1  1970 init"), "{list}");
    }

    #[test]
    fn every_part_starts_at_a_multiple_of_four() {
        let bytes = Archive::new().file("a", 0o644, vec![b'x'; 5]).to_bytes();
        // Header of 110 and "a\0" make 112; 5 bytes and 3 of padding follow.
        assert_eq!(&bytes[112..117], b"xxxxx");
        assert_eq!(&bytes[120..126], b"070701");
        assert_eq!(bytes.len() % BLOCK, 0);
    }
}
