//! Any file: it is read, or each mistake has its line; what was read is exported to what reads the same.
#![no_main]

use directory::valid_recipients::{HEADER, MISTAKES_MAX, Terms, read, row};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let realm = config_schema::RealmName::base();
    let default = config_schema::StreamName::default_of(realm.clone());
    let terms = |skip_bad| Terms { realm: &realm, is_ours: &|_| true, skip_bad };
    let strict = read(file, terms(false));
    let import = match read(file, terms(true)) {
        Ok(import) => import,
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && strict.is_err());
            return;
        }
    };
    assert_eq!(strict.is_ok(), import.mistakes.is_empty());
    assert!(import.mistakes.listed.len() <= MISTAKES_MAX);
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count();
    let told = import.mistakes.listed.iter().map(|mistake| mistake.line);
    assert!(told.chain(import.entries.iter().map(|entry| entry.line)).all(|line| line as usize <= lines));
    let mut out = HEADER.to_owned();
    for entry in &import.entries {
        out.push_str(&row(&entry.address, entry.stream.as_ref().unwrap_or(&default)));
    }
    let again = read(out.as_bytes(), terms(false)).expect("what is exported is good");
    assert_eq!(again.entries.len(), import.entries.len());
    for (one, other) in again.entries.iter().zip(&import.entries) {
        assert_eq!(one.address, other.address);
        assert_eq!(one.stream.as_ref(), Some(other.stream.as_ref().unwrap_or(&default)));
    }
});
