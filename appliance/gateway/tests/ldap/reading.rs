//! Reads of the whole directory.

use std::collections::HashSet;

use directory::ldap::recipient::Recipient;
use directory::ldap::sync::SyncFault;
use gateway::directory::ldap::{LdapDirectory, ReadFault};

use crate::asking::{people, served};
use crate::certificates::Authority;
use crate::slapd::{BASE, entry};
use crate::world;

async fn read(directory: &LdapDirectory) -> Result<(Vec<Recipient>, usize), ReadFault> {
    let mut reading = directory.read_all();
    let mut all = Vec::new();
    while let Some(page) = reading.next().await? {
        all.extend(page);
    }
    let counts = reading.counts();
    assert_eq!(counts.recipients, all.len());
    Ok((all, counts.pages))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_entries_are_read_by_pages() {
    const COUNT: usize = 20_000;
    let authority = Authority::new();
    let people: String = (0..COUNT)
        .map(|n| {
            let (name, mail) = (format!("u{n}"), format!("SMTP:u{n}@example.com"));
            let also = format!("smtp:also{n}@example.com");
            let addresses =
                [("sAMAccountName", &name[..]), ("proxyAddresses", &mail), ("proxyAddresses", &also)];
            entry(&name, "user", &addresses)
        })
        .collect();
    let (_slapd, doors) = served(&authority, &people);
    let directory = world::directory(&doors, &authority, "page-size = 1000\n");
    let (all, pages) = read(&directory).await.unwrap();
    assert_eq!((all.len(), pages), (COUNT, COUNT / 1_000 + usize::from(pages > COUNT / 1_000)));
    assert!(all.iter().all(|recipient| recipient.addresses.len() == 2));
    let ids: HashSet<_> = all.iter().map(|recipient| &recipient.id).collect();
    let streams: HashSet<_> = all.iter().map(|recipient| &recipient.stream).collect();
    assert_eq!((ids.len(), streams.len()), (COUNT, COUNT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_with_an_address_is_read_and_referrals_are_passed_by() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "page-size = 10\n");
    let (all, _) = read(&directory).await.unwrap();
    let mut streams: Vec<&str> = all.iter().map(|recipient| &*recipient.stream).collect();
    streams.sort_unstable();
    let expected = [
        "ann",
        "bob",
        "info@example.com",
        "nameless@example.com",
        "partner@example.com",
        "sales@example.com",
        "twin1",
        "twin2",
    ];
    assert_eq!(streams, expected);
    let ann = all.iter().find(|recipient| &*recipient.stream == "ann").unwrap();
    assert_eq!(&*ann.id, "33323130-3534-3736-3839-616263646566");
    assert_eq!(ann.addresses[0].to_string(), "Ann.Smith@example.com");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cut_short_is_no_copy() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let keys = format!("bind-dn = \"cn=limited,{BASE}\"\nbind-password = \"limited-secret\"\n");
    let limited = world::directory(&doors, &authority, &keys);
    let fault = read(&limited).await.unwrap_err();
    let told = matches!(&fault, ReadFault::Sync(SyncFault::Cut(_)) | ReadFault::Search(_));
    assert!(told && fault.to_string().contains("imitExceeded"), "{fault}");

    let nobody = world::directory(&doors, &authority, "filter = \"(l=Nowhere)\"\n");
    assert_eq!(read(&nobody).await, Ok((Vec::new(), 1)), "whether to believe it is for the copy to judge");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_ends_with_its_server() {
    let authority = Authority::new();
    let (mut slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "page-size = 10\n");
    let mut reading = directory.read_all();
    reading.next().await.unwrap();
    slapd.server.kill();
    // The first page may have been the only one with more to come, or not; then a new read has to fail.
    let fault = match reading.next().await {
        Err(fault) => fault,
        Ok(_) => directory.read_all().next().await.unwrap_err(),
    };
    assert!(matches!(fault, ReadFault::Search(_) | ReadFault::Open(_)), "{fault}");
}
