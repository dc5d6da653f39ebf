use super::*;
use crate::ldap::{
    Entry,
    lookup::tests::{entry, ldap},
};

fn page(entries: Vec<Entry>, cookie: &[u8]) -> Found {
    Found { entries, cookie: cookie.to_vec(), cut: None }
}

fn ann(n: usize) -> Entry {
    entry(&format!("cn={n}"), &[("objectClass", &["user"]), ("mail", &[&format!("u{n}@example.com")])])
}

#[test]
fn pages_are_asked_for_until_there_is_none() {
    let ldap = ldap("generic-username");
    let mut sync = Sync::new();
    let first = sync.next(&ldap).unwrap();
    assert_eq!(first.page, Some(Page { size: 500, cookie: Vec::new() }));
    assert_eq!(first.filter.to_string(), "(&(objectClass=*)(|(mail=*)(mailAlternateAddress=*)))",);
    assert_eq!((first.size_limit, first.entries_max), (None, 500));
    let nobody = entry("cn=x", &[("mail", &["none"])]);
    assert_eq!(sync.page(&ldap, page(vec![ann(1), nobody], b"2")).unwrap().len(), 1);
    assert_eq!(sync.next(&ldap).unwrap().page, Some(Page { size: 500, cookie: b"2".to_vec() }));
    assert_eq!(sync.page(&ldap, page(vec![ann(2)], b"")).unwrap().len(), 1);
    assert_eq!(sync.next(&ldap), None);
    assert_eq!(sync.counts(), Counts { pages: 2, entries: 3, recipients: 2 });
}

#[test]
fn what_is_not_whole_becomes_no_copy() {
    let ldap = ldap("generic-username");
    let limit = ServerResult { code: 4, text: String::new() };
    let cut = Found { entries: vec![ann(1)], cookie: Vec::new(), cut: Some(limit.clone()) };
    assert_eq!(Sync::new().page(&ldap, cut), Err(SyncFault::Cut(limit)));
    let mut nobody = Sync::new();
    assert_eq!((nobody.page(&ldap, page(Vec::new(), b"")), nobody.next(&ldap)), (Ok(Vec::new()), None));

    let mut sync = Sync::new();
    sync.page(&ldap, page(vec![ann(1)], b"a")).unwrap();
    assert_eq!(sync.page(&ldap, page(Vec::new(), b"a")), Err(SyncFault::Endless));
    let mut sync = Sync::new();
    for n in 0..EMPTY_PAGES_MAX {
        sync.page(&ldap, page(Vec::new(), n.to_string().as_bytes())).unwrap();
    }
    assert_eq!(sync.page(&ldap, page(Vec::new(), b"x")), Err(SyncFault::Endless));
}

#[test]
fn a_directory_without_end_is_given_up() {
    let ldap = ldap("generic-username");
    let nobody = || entry("cn=x", &[]);
    let mut sync = Sync::new();
    for n in 0..ENTRIES_MAX / 1_000 {
        let entries = (0..1_000).map(|_| nobody()).collect();
        sync.page(&ldap, page(entries, n.to_string().as_bytes())).unwrap();
    }
    assert_eq!(sync.page(&ldap, page(vec![nobody()], b"x")), Err(SyncFault::TooMany));
}
