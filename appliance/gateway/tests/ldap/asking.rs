//! Look-ups of single addresses.

use directory::answer::LookupAnswer;
use gateway::directory::ldap::LdapDirectory;
use smtp::address::Address;

use crate::certificates::Authority;
use crate::slapd::{BASE, Slapd, entry};
use crate::world::{self, Doors, FIRST, NAME, first};

/// People, a group, a contact, a shared mailbox, and some that have not everything.
pub(crate) fn people() -> String {
    [
        entry(
            "Ann",
            "user",
            &[
                ("sAMAccountName", "Ann"),
                ("userPrincipalName", "ann@corp.example.com"),
                ("proxyAddresses", "SMTP:Ann.Smith@example.com"),
                ("proxyAddresses", "smtp:ann@example.com"),
                ("proxyAddresses", "X500:/o=Example/cn=Ann"),
                ("mail", "ann.smith@example.com"),
                ("objectGUID", "0123456789abcdef"),
                ("userPassword", "ann-password"),
            ],
        ),
        entry(
            "Bob",
            "user",
            &[
                ("sAMAccountName", "bob"),
                ("mail", "bob@example.com"),
                ("userPassword", "bob-password"),
                ("l", "Bonn"),
            ],
        ),
        entry("Sales", "group", &[("sAMAccountName", "sales"), ("proxyAddresses", "SMTP:sales@example.com")]),
        entry("Partner", "contact", &[("proxyAddresses", "SMTP:partner@example.com")]),
        entry(
            "Info",
            "user",
            &[("sAMAccountName", "info1"), ("mail", "info@example.com"), ("msExchRecipientTypeDetails", "4")],
        ),
        entry("Nameless", "user", &[("mail", "Nameless@example.com")]),
        entry("Twin1", "user", &[("sAMAccountName", "twin1"), ("proxyAddresses", "smtp:twins@example.com")]),
        entry("Twin2", "user", &[("sAMAccountName", "twin2"), ("proxyAddresses", "smtp:twins@example.com")]),
        entry("Hidden", "user", &[("sAMAccountName", "hidden"), ("mail", "hidden@example.com")]),
        entry("Star", "user", &[("sAMAccountName", "star"), ("mail", "*)(mail=*@example.com")]),
    ]
    .concat()
}

fn stream(stream: &str, because: &str) -> LookupAnswer {
    LookupAnswer::Stream { stream: stream.into(), because: because.into() }
}

pub(crate) async fn look_up(directory: &LdapDirectory, address: &str) -> LookupAnswer {
    directory.look_up(&Address::parse(address).unwrap()).await
}

/// A server that shows a right certificate, and the doors to it.
pub(crate) fn served(authority: &Authority, entries: &str) -> (Slapd, Doors) {
    let slapd = Slapd::start(&authority.site(NAME, first()), entries);
    let doors = Doors::default();
    doors.lead(FIRST, 636, slapd.tls);
    doors.lead(FIRST, 389, slapd.plain);
    (slapd, doors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_entry_has_its_stream() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "");
    for (address, expected) in [
        ("ann@example.com", stream("ann", "user cn=Ann,dc=example,dc=com")),
        ("ANN.SMITH@EXAMPLE.com", stream("ann", "user cn=Ann,dc=example,dc=com")),
        ("bob@example.com", stream("bob", "user cn=Bob,dc=example,dc=com")),
        ("sales@example.com", stream("sales@example.com", "group cn=Sales,dc=example,dc=com")),
        ("partner@example.com", stream("partner@example.com", "contact cn=Partner,dc=example,dc=com")),
        ("info@example.com", stream("info@example.com", "shared mailbox cn=Info,dc=example,dc=com")),
        ("nameless@example.com", stream("nameless@example.com", "user cn=Nameless,dc=example,dc=com")),
        (
            "twins@example.com",
            stream(
                "twin1",
                "user cn=Twin1,dc=example,dc=com; the address is also that of user cn=Twin2,dc=example,dc=com",
            ),
        ),
        ("nobody@example.com", LookupAnswer::Unknown),
        ("ann@example.net", LookupAnswer::Unknown),
    ] {
        assert_eq!(look_up(&directory, address).await, expected, "{address}");
    }
    // All of it on one connection.
    assert_eq!(doors.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_finds_what_it_does_not_say() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let directory = world::directory(&doors, &authority, "");
    for address in [
        "*@example.com",
        "\"*)(mail=*\"@example.com",
        "\"ann)(|(mail=*\"@example.com",
        "\"\\\\2a\"@example.com",
        "a*@example.com",
    ] {
        let answer = look_up(&directory, address).await;
        assert_eq!(answer, LookupAnswer::Unknown, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_and_other_attributes_change_what_counts() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let directory = world::directory(
        &doors,
        &authority,
        "filter = \"(|(l=Bonn)(sAMAccountName:caseIgnoreMatch:=ANN)(cn=s*l*s))\"\nstream-attributes = [\"cn\"]\n",
    );
    assert_eq!(look_up(&directory, "bob@example.com").await, stream("bob", "user cn=Bob,dc=example,dc=com"));
    assert!(matches!(look_up(&directory, "ann@example.com").await, LookupAnswer::Stream { .. }));
    assert!(matches!(look_up(&directory, "sales@example.com").await, LookupAnswer::Stream { .. }));
    assert_eq!(look_up(&directory, "partner@example.com").await, LookupAnswer::Unknown);

    let generic = world::directory(&doors, &authority, "preset = \"generic-email\"\n");
    assert_eq!(
        look_up(&generic, "bob@example.com").await,
        stream("bob@example.com", "user cn=Bob,dc=example,dc=com")
    );
    assert_eq!(
        look_up(&generic, "ann@example.com").await,
        LookupAnswer::Unknown,
        "it stands in proxyAddresses only"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_of_protection_works_by_name_and_by_address() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    for keys in [
        "",
        "security = \"starttls\"\n",
        "security = \"plain\"\n",
        "servers = \"dc1.example.com\"\n",
        "servers = \"dc1.example.com\"\nsecurity = \"starttls\"\n",
    ] {
        let directory = world::directory(&doors, &authority, keys);
        let answer = look_up(&directory, "bob@example.com").await;
        assert_eq!(answer, stream("bob", "user cn=Bob,dc=example,dc=com"), "{keys}");
        assert_eq!(directory.standing().trouble, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_seen_is_not_unknown() {
    let authority = Authority::new();
    let (_slapd, doors) = served(&authority, &people());
    let why = |answer| match answer {
        LookupAnswer::Unavailable { why } => why,
        other => panic!("{other:?}"),
    };
    let directory = world::directory(&doors, &authority, "");
    let hidden = why(look_up(&directory, "hidden@example.com").await);
    assert!(hidden.contains("may not be read"), "{hidden}");

    let elsewhere = world::directory(&doors, &authority, "base = \"ou=nowhere,dc=example,dc=com\"\n");
    let nowhere = why(look_up(&elsewhere, "bob@example.com").await);
    assert!(nowhere.contains("noSuchObject"), "{nowhere}");

    // A base that another server has: we do not go there.
    let referred = world::directory(&doors, &authority, "base = \"ou=elsewhere,dc=example,dc=com\"\n");
    let referral = why(look_up(&referred, "bob@example.com").await);
    assert!(referral.contains("referral"), "{referral}");

    let account = format!("bind-dn = \"cn=reader,{BASE}\"\nbind-password = \"wrong\"\n");
    let refused = world::directory(&doors, &authority, &account);
    let wrong = why(look_up(&refused, "bob@example.com").await);
    assert!(wrong.contains("invalidCredentials"), "{wrong}");
    assert_eq!(
        refused.standing().trouble.unwrap().shown,
        "the server refuses the name or password to bind with"
    );
    // It is not tried again at once, lest the account be locked.
    let waiting = why(look_up(&refused, "ann@example.com").await);
    assert!(waiting.contains("no server is tried again yet"), "{waiting}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_are_under_way_on_one_connection() {
    let authority = Authority::new();
    let people: String = (0..500)
        .map(|n| {
            let (name, mail) = (format!("u{n}"), format!("u{n}@example.com"));
            entry(&name, "user", &[("sAMAccountName", &name), ("mail", &mail)])
        })
        .collect();
    let (_slapd, doors) = served(&authority, &people);
    let directory = world::directory(&doors, &authority, "");
    let questions: Vec<_> = (0..1_000)
        .map(|n| {
            let directory = directory.clone();
            tokio::spawn(async move { (n, look_up(&directory, &format!("u{n}@example.com")).await) })
        })
        .collect();
    for question in questions {
        let (n, answer) = question.await.unwrap();
        match answer {
            LookupAnswer::Stream { stream, .. } => assert!(n < 500 && *stream == format!("u{n}"), "{n}"),
            LookupAnswer::Unknown => assert!(n >= 500, "{n}"),
            LookupAnswer::Unavailable { why } => panic!("{n}: {why}"),
        }
    }
    assert_eq!(directory.remembered(), (500, 500));
    assert_eq!(doors.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}
