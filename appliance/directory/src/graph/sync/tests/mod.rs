mod random;
mod world;

use image::entra::{Collection as Theirs, Entry, Removed, Trouble};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use sha2::{Digest, Sha256};

use super::*;
use crate::{answer::LookupAnswer, graph::Whose};
use world::{DAY, HOST, START, World, by_certificate, by_secret, id, user};

/// More steps than any round of these tenants has.
const STEPS_MAX: usize = 10_000;

#[test]
fn a_first_reading_finds_everyone_who_gets_mail() {
    let mut world = World::with_users(7);
    let shared = Entry { enabled: Some(false), ..user("info") };
    world.tenant.set(Theirs::Users, &id(100), shared);
    let guest = Entry {
        mail: Some("guest@elsewhere.example".into()),
        proxies: vec!["SMTP:guest@elsewhere.example".into(), "smtp:guest@example.com".into()],
        kind: Some("Guest".into()),
        ..Entry::default()
    };
    world.tenant.set(Theirs::Users, &id(101), guest);
    let group = |mail_enabled| Entry {
        proxies: vec!["SMTP:team@example.com".into(), "smtp:all@example.com".into()],
        mail_enabled: Some(mail_enabled),
        group_types: vec!["Unified".into()],
        ..Entry::default()
    };
    world.tenant.set(Theirs::Groups, &id(200), group(true));
    let security = Entry { mail: Some("rights@example.com".into()), ..group(false) };
    world.tenant.set(Theirs::Groups, &id(201), Entry { proxies: Vec::new(), ..security });
    let contact = Entry { mail: Some("partner@example.com".into()), ..Entry::default() };
    world.tenant.set(Theirs::Contacts, &id(300), contact);
    assert!(matches!(world.lookup("u0@example.com"), LookupAnswer::Unavailable { .. }));
    world.finish();

    assert_eq!(world.stream("u3@example.com").as_deref(), Some("u3@example.com"));
    assert_eq!(world.stream("u3@example.net").as_deref(), Some("u3@example.com"));
    assert_eq!(world.stream("guest@example.com").as_deref(), Some("guest@example.com"));
    assert_eq!(world.stream("all@example.com").as_deref(), Some("team@example.com"));
    assert_eq!(world.stream("partner@example.com").as_deref(), Some("partner@example.com"));
    for nobody in
        ["rights@example.com", "guest@elsewhere.example", "somebody@elsewhere.example", "x@example.com"]
    {
        assert_eq!(world.stream(nobody), None, "{nobody}");
    }
    let LookupAnswer::Stream { because, .. } = world.lookup("info@example.com") else { panic!("not found") };
    assert_eq!(&*because, format!("mailbox without sign-in info ({}) in Entra ID", id(100)));
    assert_eq!((world.sign_ins, world.faults()), (1, vec![]));
    assert_eq!(world.hosts.iter().collect::<Vec<_>>(), [HOST]);
}

#[test]
fn changes_come_by_delta_and_survive_a_restart() {
    let mut world = World::with_users(20);
    world.finish();
    world.tenant.set(Theirs::Users, &id(3), user("new"));
    world.tenant.remove(Theirs::Users, &id(4), Removed::Changed);
    world.round();
    for _ in 0..2 {
        assert_eq!(world.stream("u3@example.com"), None);
        assert_eq!(world.stream("new@example.com").as_deref(), Some("new@example.com"));
        assert_eq!(world.stream("u4@example.com"), None);
        assert_eq!(world.stream("u5@example.com").as_deref(), Some("u5@example.com"));
        world.restart();
    }
    // Nothing is read afresh after it, and nothing is left over.
    let asked = world.tenant.asked.len();
    world.round();
    assert!(world.tenant.asked.iter().skip(asked).all(|target| !target.contains("$select")));
    assert!(world.disk.generations().len() <= 3);
    world.tenant.set(Theirs::Users, &id(4), user("u4"));
    world.round();
    assert_eq!(world.stream("u4@example.com").as_deref(), Some("u4@example.com"));
}

#[test]
fn a_token_is_used_until_shortly_before_its_end() {
    let mut world = World::with_users(3);
    world.finish();
    for _ in 0..4 {
        world.round();
    }
    assert_eq!(world.sign_ins, 1, "five rounds of ten minutes");
    world.round();
    world.round();
    assert_eq!(world.sign_ins, 2, "a token of an hour is not used in its last five minutes");
    world.tenant.troubles.push_back(Trouble::Unauthorized);
    world.round();
    assert_eq!((world.sign_ins, world.faults()), (3, vec![]));
}

#[test]
fn a_token_that_is_never_taken_is_a_fault_of_the_configuration() {
    let mut world = World::with_users(3);
    world.tenant.troubles.extend([Trouble::Unauthorized, Trouble::Unauthorized]);
    world.finish();
    assert_eq!(world.faults(), [Fault::TokenRefused]);
    assert_eq!(Fault::TokenRefused.whose(), Whose::Configuration);
    assert_eq!(world.stream("u1@example.com").as_deref(), Some("u1@example.com"));
    assert!(world.news.contains(&News::Fault(Fault::TokenRefused)));
}

#[test]
fn a_missing_permission_is_named_and_the_others_are_read() {
    let mut world = World::with_users(3);
    world.tenant.denied.insert(Theirs::Groups);
    world.tenant.denied.insert(Theirs::Contacts);
    world.finish();
    world.round();
    let missing = [Collection::Groups, Collection::Contacts];
    assert_eq!(world.faults(), missing.map(Fault::PermissionMissing));
    assert_eq!(world.sync.status().denied, missing);
    assert!(world.faults()[0].to_string().contains("GroupMember.Read.All"));
    assert_eq!(world.stream("u1@example.com").as_deref(), Some("u1@example.com"));
    // A group's address is not refused because groups cannot be seen.
    assert!(matches!(world.lookup("team@example.com"), LookupAnswer::Unavailable { .. }));
    world.tenant.denied.clear();
    world.round();
    assert_eq!(world.lookup("team@example.com"), LookupAnswer::Unknown);
    assert!(world.sync.status().denied.is_empty() && world.sync.status().fault.is_none());
    assert_eq!(world.news.last(), Some(&News::Recovered));
}

#[test]
fn patience_is_kept_as_long_as_asked() {
    for (status, after, least, most) in
        [(429, Some("7"), 7, 7), (503, Some("Fri, 15 Jan 2027 08:00:30 GMT"), 30, 30), (504, None, 10, 13)]
    {
        let mut world = World::with_users(1);
        world.tenant.troubles.push_back(Trouble::Busy(status, after.map(str::to_owned)));
        world.finish();
        let waited = world.elapsed.as_secs();
        assert!((least..=most).contains(&waited), "{status}: {waited}");
        assert_eq!(world.faults(), [Fault::Busy(status)]);
        assert!(world.stream("u0@example.com").is_some());
    }
}

#[test]
fn an_old_link_leads_to_a_new_copy_beside_the_one_in_use() {
    for trouble in [Trouble::Gone, Trouble::SyncStateNotFound] {
        let mut world = World::with_users(10);
        world.finish();
        let before = world.disk.generations();
        world.tenant.troubles.push_back(trouble);
        world.tenant.remove(Theirs::Users, &id(2), Removed::Deleted);
        if let Round::Idle(until) = world.sync.round {
            world.elapsed = until.since_start();
        }
        // Until the new one is whole, the old one answers.
        let read = |world: &World| {
            world.news.iter().any(|news| matches!(news, News::Read { full: true, objects: 9, .. }))
        };
        for _ in 0..STEPS_MAX {
            if read(&world) {
                break;
            }
            assert!(world.stream("u2@example.com").is_some() && world.stream("u7@example.com").is_some());
            assert!(before.is_subset(&world.disk.generations()));
            world.step();
        }
        assert!(read(&world));
        world.finish();
        assert_eq!(world.stream("u2@example.com"), None);
        assert!(world.news.contains(&News::Restarted(Collection::Users)));
        assert!(before.is_disjoint(&world.disk.generations()), "the old generation is dropped");
    }
    let mut world = World::with_users(8);
    world.finish();
    world.tenant.age();
    world.round();
    assert!(world.faults().is_empty() && world.stream("u7@example.com").is_some());
}

#[test]
fn a_beginning_that_is_refused_ends_as_a_fault() {
    let mut world = World::with_users(3);
    world.tenant.troubles.extend([Trouble::Gone, Trouble::Gone]);
    world.finish();
    assert_eq!(world.faults(), [Fault::NoBeginning(Collection::Users)]);
}

#[test]
fn what_is_no_answer_is_the_peers_fault_and_harms_no_copy() {
    for trouble in [
        Trouble::ServerError,
        Trouble::Html,
        Trouble::Truncated,
        Trouble::Long(PAGE_MAX + 1),
        Trouble::LinkElsewhere,
    ] {
        let mut world = World::with_users(30);
        world.finish();
        world.tenant.remove(Theirs::Users, &id(0), Removed::Deleted);
        let many = usize::try_from(ATTEMPTS_MAX).unwrap() * 3;
        world.tenant.troubles.extend(vec![trouble.clone(); many]);
        world.round();
        assert!(world.stream("u0@example.com").is_some(), "{trouble:?}");
        assert!(world.faults().iter().all(|fault| fault.whose() == Whose::Peer), "{trouble:?}");
        assert!(!world.faults().is_empty() && world.tenant.troubles.is_empty(), "{trouble:?}");
        world.round();
        assert_eq!(world.stream("u0@example.com"), None, "{trouble:?}");
        assert_eq!(world.hosts.len(), 1, "no link leads elsewhere");
    }
}

#[test]
fn pages_without_an_end_are_given_up() {
    let mut world = World::with_users(3);
    world.finish();
    world.tenant.endless.insert(Theirs::Users);
    world.tenant.set(
        Theirs::Groups,
        &id(9),
        Entry { proxies: vec!["SMTP:team@example.com".into()], mail_enabled: Some(true), ..Entry::default() },
    );
    world.tenant.asked.clear();
    world.round();
    assert_eq!(world.faults(), [Fault::Endless(Collection::Users, PAGES_MAX)]);
    assert!(world.stream("u0@example.com").is_some() && world.stream("team@example.com").is_some());
    world.tenant.endless.clear();
    world.tenant.set(Theirs::Users, &id(50), user("later"));
    world.round();
    assert!(world.stream("later@example.com").is_some());
}

#[test]
fn the_login_service_says_what_is_wrong() {
    for (code, is) in [
        (7_000_222, Fault::SecretExpired("AADSTS7000222: No.".into())),
        (7_000_215, Fault::SecretWrong("AADSTS7000215: No.".into())),
        (700_016, Fault::UnknownApplication("AADSTS700016: No.".into())),
        (90_002, Fault::UnknownTenant("AADSTS90002: No.".into())),
        (700_024, Fault::Clock("AADSTS700024: No.".into())),
        (50_034, Fault::SignIn("AADSTS50034: No.".into())),
    ] {
        let mut world = World::with_users(3);
        world.finish();
        world.tenant.sign_in_error = Some((code, "No.".into()));
        world.elapsed += DAY / 2;
        for _ in 0..50 {
            if let Some(until) = world.step() {
                world.elapsed = until.since_start();
            }
        }
        assert_eq!(world.faults(), std::slice::from_ref(&is));
        assert_eq!(is.whose(), Whose::Configuration);
        assert!(world.stream("u0@example.com").is_some(), "the copy stays in use");
        assert!(world.sign_ins < 60, "asked ever more rarely");
    }
    let mut world = World::with_users(3);
    world.tenant.secret = Some("another".into());
    for _ in 0..3 {
        world.step();
    }
    assert!(matches!(world.faults()[..], [Fault::SecretWrong(_)]));
}

#[test]
fn a_certificate_proves_us_too() {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let certificate = CertificateParams::new(vec!["postern".to_owned()]).unwrap().self_signed(&key).unwrap();
    let entra = by_certificate(&certificate.pem(), &key.serialize_pem());
    let mut world = World::new(entra.clone());
    world.tenant.secret = None;
    world.tenant.certificate = Some(certificate.der().to_vec());
    world.tenant.set(Theirs::Users, &id(1), user("ann"));
    world.finish();
    assert!(world.stream("ann@example.com").is_some() && world.faults().is_empty());
    assert!(world.sync.status().proof_ends.is_some_and(|ends| ends > 1_800_000_000));
    world.elapsed += DAY / 12;
    world.round();
    assert_eq!((world.sign_ins, world.faults()), (2, vec![]), "each assertion is used once");

    let mut stranger = World::new(entra);
    stranger.tenant.certificate = Some(Sha256::digest(b"another").to_vec());
    for _ in 0..3 {
        stranger.step();
    }
    assert!(matches!(stranger.faults()[..], [Fault::CertificateRefused(_)]));
}

#[test]
fn who_asks_for_a_reading_is_told_which_one_shows_what_there_is_now() {
    let mut world = World::with_users(20);
    world.finish();
    world.tenant.set(Theirs::Users, &id(30), user("early"));
    let asked = world.sync.read_now();
    assert_eq!(asked, world.sync.status().rounds + 1);
    // It is under way, and the users have been gone through, when somebody asks again.
    while !matches!(world.sync.round, Round::Reading { at: 1, .. }) {
        assert_eq!(world.step(), None, "it does not wait for its time");
    }
    world.tenant.set(Theirs::Users, &id(31), user("late"));
    let late = world.sync.read_now();
    assert_eq!(late, asked + 1);
    while world.sync.status().rounds < late {
        assert_eq!(world.step(), None, "nor does the second");
    }
    for name in ["early@example.com", "late@example.com"] {
        assert_eq!(world.stream(name).as_deref(), Some(name));
    }

    // What was wrong may have been mended; who was busy decides himself when to be asked.
    world.tenant.troubles.push_back(Trouble::ServerError);
    world.sync.read_now();
    let waits = std::iter::repeat_with(|| world.step()).flatten().next().unwrap();
    assert!(waits > world.now().at && world.sync.status().failed == 1);
    world.sync.read_now();
    assert_eq!(world.step(), None);
    world.finish();
    world.tenant.troubles.push_back(Trouble::Busy(429, Some("90".into())));
    world.sync.read_now();
    std::iter::repeat_with(|| world.step()).flatten().next();
    world.sync.read_now();
    assert!(world.step().is_some(), "it waits");
}

#[test]
fn a_key_that_cannot_prove_us_is_named() {
    use crate::graph::KeyError;
    let (rsa, other) = (KeyPair::generate_for(&PKCS_RSA_SHA256), KeyPair::generate_for(&PKCS_RSA_SHA256));
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&rsa.unwrap()).unwrap().pem();
    let junk = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    for (certificate, key, why) in [
        (certificate.as_str(), ec.serialize_pem(), KeyError::NotRsa),
        (&certificate, other.unwrap().serialize_pem(), KeyError::Mismatch),
        (junk, ec.serialize_pem(), KeyError::Certificate),
    ] {
        let mut world = World::new(by_certificate(certificate, &key));
        assert!(world.step().is_some());
        world.news.extend(world.sync.take_news());
        assert_eq!((world.faults(), world.sign_ins), (vec![Fault::Key(why)], 0));
    }
}

#[test]
fn a_great_loss_waits_to_be_confirmed() {
    for full in [false, true] {
        let mut world = World::with_users(20);
        world.finish();
        for n in 0..3 {
            world.tenant.remove(Theirs::Users, &id(n), Removed::Changed);
        }
        if full {
            world.tenant.age();
        }
        world.round();
        let Some(Held { losses }) = world.sync.status().held else { panic!("not held") };
        let told: Vec<_> = losses.iter().map(|loss| (loss.domain.as_str(), loss.lost, loss.of)).collect();
        assert_eq!(told, [("example.com", 3, 20), ("example.net", 3, 20)]);
        assert!(world.stream("u0@example.com").is_some());
        world.restart();
        world.round();
        assert!(world.stream("u0@example.com").is_some(), "still held after a restart");
        let now = world.now();
        assert!(world.sync.confirm(&now).is_some());
        assert_eq!(world.stream("u0@example.com"), None);
        world.finish();
        world.restart();
        assert_eq!((world.stream("u1@example.com"), world.stream("u3@example.com").is_some()), (None, true));
        assert!(world.sync.confirm(&now).is_none(), "nothing is held any more");
    }
}

#[test]
fn a_clock_that_jumps_makes_no_copy_old() {
    let mut world = World::with_users(2);
    world.finish();
    let unknown = |world: &mut World, unix| {
        let now = Moment { unix, ..world.now() };
        matches!(world.sync.lookup("x@example.com", DAY, &now), LookupAnswer::Unknown)
    };
    // Found by the time servers after the first reading, and a year off before.
    assert!(unknown(&mut world, START + 366 * 86_400) && unknown(&mut world, 0));
    world.elapsed += DAY + DAY;
    assert!(!unknown(&mut world, START), "its age is measured all the same");
    world.restart();
    assert!(!unknown(&mut world, START + 366 * 86_400), "from the disk, the wall's clock tells");
}

#[test]
fn a_loss_that_heals_needs_nobody() {
    let mut world = World::with_users(20);
    world.finish();
    for n in 0..10 {
        world.tenant.remove(Theirs::Users, &id(n), Removed::Changed);
    }
    world.round();
    assert!(world.sync.status().held.is_some());
    // Old as the copy becomes, it refuses nobody.
    world.elapsed += DAY * 2;
    assert!(matches!(world.lookup("x@example.com"), LookupAnswer::Unavailable { .. }));
    for n in 0..10 {
        world.tenant.set(Theirs::Users, &id(n), user(&format!("u{n}")));
    }
    world.round();
    assert!(world.sync.status().held.is_none() && world.stream("u0@example.com").is_some());
    assert_eq!(world.stream("x@example.com"), None);
}

#[test]
fn what_is_confirmed_while_it_is_judged_is_not_held_again() {
    let mut world = World::with_users(9);
    world.finish();
    for n in 0..9 {
        world.tenant.remove(Theirs::Users, &id(n), Removed::Deleted);
    }
    world.round();
    assert!(world.sync.status().held.is_some(), "however small the domain is");
    world.sync.read_now();
    for _ in 0..STEPS_MAX {
        let now = world.now();
        if matches!(world.sync.next(&now), Step::Judge) {
            break;
        }
        world.step();
    }
    let now = world.now();
    assert!(matches!(world.sync.next(&now), Step::Judge));
    let losses = world.sync.losses();
    assert!(!losses.is_empty() && world.sync.confirm(&now).is_some());
    drop(world.sync.judged(losses, &now));
    assert_eq!((world.sync.status().held, world.stream("u0@example.com")), (None, None));
    drop(world.sync.judged(Vec::new(), &now));
    assert_eq!(world.sync.status().rounds, 3, "a verdict that nobody asked for ends no round");
}

#[test]
fn a_move_is_no_loss() {
    let mut world = World::with_users(20);
    world.finish();
    for n in 0..10 {
        // A mailbox is made anew with the addresses of the old one.
        world.tenant.remove(Theirs::Users, &id(n), Removed::Deleted);
        world.tenant.set(Theirs::Contacts, &id(500 + n), user(&format!("u{n}")));
    }
    world.round();
    assert!(world.sync.status().held.is_none() && world.stream("u0@example.net").is_some());
}

#[test]
fn a_disk_that_refuses_is_asked_again() {
    let mut world = World::with_users(8);
    world.disk.failing = 3;
    world.finish();
    assert_eq!(world.faults()[0], Fault::NotKept);
    world.restart();
    assert!(world.stream("u7@example.com").is_some());
}

#[test]
fn one_address_may_be_asked_for_directly() {
    let mut world = World::with_users(3);
    world.finish();
    let now = world.now();
    world.tenant.set(Theirs::Users, &id(9), user("o'neil"));
    assert_eq!(world.stream("o'neil@example.com"), None);
    assert!(world.sync.ask("o'neil@example.com", &now) && world.sync.ask("nobody@example.com", &now));
    assert!(world.sync.is_asked("o'neil@example.com"));
    world.finish();
    assert!(!world.sync.is_asked("o'neil@example.com"));
    assert_eq!(world.stream("o'neil@example.com").as_deref(), Some("o'neil@example.com"));
    assert_eq!(world.stream("nobody@example.com"), None);
    let now = world.now();
    assert!(!world.sync.ask("nobody@example.com", &now), "it is remembered");
    // While Graph is not to be asked, nobody waits for it.
    world.tenant.troubles.push_back(Trouble::Busy(429, Some("60".into())));
    assert!(world.sync.ask("late@example.com", &now));
    world.step();
    assert!(!world.sync.is_asked("late@example.com") && !world.sync.ask("late@example.com", &now));
}

#[test]
fn what_was_kept_of_another_tenant_is_not_used() {
    let mut world = World::with_users(3);
    world.finish();
    let state = world.disk.state.clone().unwrap();
    let other = EntraId { tenant: "2f1d6c0e-8d3a-4b0f-9c55-0a1b2c3d4e60".parse().unwrap(), ..by_secret() };
    assert_eq!(Sync::restore(&other, HashSet::new(), &state).err(), Some(BadState::OtherTenant));
    assert_eq!(Sync::restore(&by_secret(), HashSet::new(), &state[1..]).err(), Some(BadState::Form));
    let mut sync = Sync::restore(&by_secret(), HashSet::new(), &state).unwrap();
    let generation = sync.generations()[0];
    assert_eq!(sync.load(generation, b"short", &[]), Err(BadState::Object));
    assert_eq!(sync.load(generation, &[0; 16], &[0xFF]), Err(BadState::Object));
}
