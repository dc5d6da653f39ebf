use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn object(id: &str, kind: Kind, addresses: &[&str]) -> Object {
    let addresses: Vec<Address> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Object::new(id, kind, &format!("The {id}"), id, &addresses).unwrap()
}

fn user(id: &str, addresses: &[&str]) -> Object {
    object(id, Kind::User, addresses)
}

fn copy(objects: &[Object]) -> Copy {
    let mut copy = Copy::new();
    objects.iter().for_each(|object| copy.put(object).unwrap());
    copy
}

fn owner<'c>(copy: &'c Copy, address: &str) -> Option<&'c str> {
    copy.owner(&address.parse().unwrap()).map(|owner| owner.id)
}

#[test]
fn the_last_word_on_an_object_wins() {
    let mut copy =
        copy(&[user("ann", &["ann@example.com", "Lee@Example.COM"]), user("bob", &["bob@example.com"])]);
    assert_eq!((copy.len(), copy.addresses()), (2, 3));
    assert_eq!(owner(&copy, "LEE@example.com"), Some("ann"));
    for _ in 0..2 {
        copy.put(&user("ann", &["ann@example.com", "ann.lee@example.com"])).unwrap();
        assert_eq!(owner(&copy, "lee@example.com"), None);
        assert_eq!(owner(&copy, "ann.lee@example.com"), Some("ann"));
        assert_eq!((copy.len(), copy.addresses()), (2, 3));
    }
    assert!(copy.remove("ann"));
    assert!(!copy.remove("ann"));
    assert_eq!((copy.len(), copy.addresses(), owner(&copy, "ann@example.com")), (1, 1, None));
    copy.put(&user("ann", &["ann@example.com"])).unwrap();
    assert_eq!(owner(&copy, "ann@example.com"), Some("ann"), "restored");
}

#[test]
fn who_has_a_contested_address_does_not_depend_on_the_order() {
    let claims = [
        object("a", Kind::Group, &["x@example.com"]),
        object("c", Kind::User, &["x@example.com"]),
        object("b", Kind::User, &["x@example.com", "y@example.com"]),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut copy = copy(&order.map(|at| claims[at].clone()));
        let conflicts: Vec<Conflict<'_>> = copy.conflicts().collect();
        let [conflict] = &conflicts[..] else { panic!("{conflicts:?}") };
        assert_eq!((conflict.address, conflict.owner.id), ("x@example.com", "b"));
        assert_eq!(conflict.others.iter().map(|owner| owner.id).collect::<Vec<_>>(), ["c", "a"]);
        copy.remove("b");
        assert_eq!(owner(&copy, "x@example.com"), Some("c"));
        copy.remove("a");
        assert_eq!((owner(&copy, "x@example.com"), copy.conflicts().count()), (Some("c"), 0));
    }
}

#[test]
fn an_address_that_everybody_claims_costs_no_more_than_others() {
    // In a list they would take minutes: each claim, and each that goes, would pass all the others.
    const ALL: usize = 20_000;
    let everybody: Vec<Object> =
        (0..ALL).map(|n| user(&format!("{n:05}"), &["office@example.com"])).collect();
    for turns in [false, true] {
        let mut copy = Copy::new();
        let order: Vec<usize> = if turns { (0..ALL).rev().collect() } else { (0..ALL).collect() };
        order.iter().for_each(|n| copy.put(&everybody[*n]).unwrap());
        let claims: Vec<u32> = copy.claims_to(copy.claim_to("office@example.com")).collect();
        assert_eq!(claims.len(), ALL);
        assert!(copy.depth() < 100, "{}", copy.depth());
        let conflict = copy.conflicts().next().unwrap();
        let others = conflict.others.iter().map(|owner| owner.id);
        assert!(std::iter::once(conflict.owner.id).chain(others).is_sorted());
        for (gone, n) in order.iter().enumerate().take(ALL - 1) {
            assert!(copy.remove(&format!("{n:05}")));
            let first = if turns { 0 } else { gone + 1 };
            assert_eq!(owner(&copy, "office@example.com"), Some(&*format!("{first:05}")));
        }
        assert_eq!((copy.addresses(), copy.conflicts().count()), (1, 0));
    }
}

impl Copy {
    /// The longest way from an address to one of its claims.
    fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut open: Vec<(u32, usize)> = self.by_address.iter().map(|root| (*root, 1)).collect();
        while let Some((claim, depth)) = open.pop() {
            deepest = deepest.max(depth);
            let rivals = self.claims[claim as usize].rivals;
            open.extend(rivals.into_iter().filter(|rival| *rival != NONE).map(|rival| (rival, depth + 1)));
        }
        deepest
    }
}

#[test]
fn an_old_copy_proves_nothing_unknown() {
    let day = Duration::from_secs(86_400);
    let mut copy = copy(&[object("7f", Kind::SharedMailbox, &["sales@example.com"])]);
    let answer = |copy: &Copy, address: &str, now| copy.answer(&address.parse().unwrap(), now, day);
    let known = LookupAnswer::Stream { stream: "7f".into(), because: "shared mailbox The 7f (7f)".into() };
    assert_eq!(answer(&copy, "Sales@example.com", 5), known);
    assert!(matches!(answer(&copy, "x@example.com", 5), LookupAnswer::Unavailable { .. }), "never complete");
    copy.set_synced(1_000);
    assert_eq!(answer(&copy, "x@example.com", 1_000 + 86_400), LookupAnswer::Unknown);
    let old = LookupAnswer::Unavailable { why: "the copy of the directory is 25 hours old".into() };
    assert_eq!(answer(&copy, "x@example.com", 1_000 + 90_000), old);
    assert_eq!(answer(&copy, "sales@example.com", 1_000_000_000), known);
    assert_eq!(answer(&copy, "x@example.com", 0), LookupAnswer::Unknown, "the clock was set back");
}

#[test]
fn copies_are_compared_by_their_objects() {
    let ann = || object("a", Kind::User, &["ann@example.com"]);
    let bob = || object("b", Kind::User, &["bob@example.com"]);
    let mut one = copy(&[ann(), bob()]);
    one.set_synced(7);
    assert!(one.has_same_objects(&copy(&[bob(), ann()])) && Copy::new().has_same_objects(&Copy::new()));
    assert!(!one.has_same_objects(&copy(&[ann()])) && !copy(&[ann()]).has_same_objects(&one));
    let other = object("b", Kind::User, &["bob@example.com", "robert@example.com"]);
    assert!(!one.has_same_objects(&copy(&[ann(), other])));
    assert!(!one.has_same_objects(&copy(&[ann(), object("b", Kind::Group, &["bob@example.com"])])));
}

fn people(count: usize) -> Vec<Object> {
    (0..count).map(|n| user(&format!("u{n}"), &[&format!("u{n}@example.com")])).collect()
}

#[test]
fn more_than_a_tenth_of_a_domain_is_held() {
    let old = copy(&people(100));
    let held = |new: &Copy| {
        let difference = Difference::between(&old, new);
        difference.held().map(|(domain, change)| (domain.to_owned(), change.removed)).collect::<Vec<_>>()
    };
    assert_eq!(held(&copy(&people(90))), []);
    assert_eq!(held(&copy(&people(89))), [("example.com".to_owned(), 11)]);
    assert_eq!(held(&copy(&people(200))), []);
    assert_eq!(held(&Copy::new()), [("example.com".to_owned(), 100)]);
    let other = copy(&[user("x", &["x@example.net"])]);
    let difference = Difference::between(&old, &other);
    let change = &difference.domains["example.com"];
    assert_eq!((change.before, change.removed, change.shown.len()), (100, 100, SHOWN_MAX));
    assert_eq!(difference.domains["example.net"].added, 1);
}

#[test]
fn a_change_of_owner_removes_nothing() {
    let old = copy(&people(3));
    let changes = [
        Change::Remove("u0".into()),
        Change::Put(user("u1", &["u1@example.com", "u0@example.com"])),
        Change::Put(user("u2", &[])),
        Change::Put(user("u2", &["u2@example.com", "new@example.com"])),
    ];
    let difference = Difference::after(&old, &changes);
    let change = &difference.domains["example.com"];
    assert_eq!((change.before, change.removed, change.added), (3, 0, 1));
    assert_eq!(Difference::after(&old, &[Change::Remove("u0".into())]).held().count(), 1);
}

#[test]
fn what_is_too_much_is_refused_and_changes_nothing() {
    let addresses = |count: usize| -> Vec<Address> {
        (0..count).map(|n| format!("a{n}@example.com").parse().unwrap()).collect()
    };
    let of = |count| Object::new("x", Kind::User, "", "x", &addresses(count));
    assert!(of(OBJECT_ADDRESSES_MAX).is_ok());
    assert_eq!(of(OBJECT_ADDRESSES_MAX + 1), Err(ObjectError::Addresses(OBJECT_ADDRESSES_MAX + 1)));
    let none: [Address; 0] = [];
    assert_eq!(Object::new("", Kind::User, "", "x", &none), Err(ObjectError::Id(0)));
    let long = "i".repeat(ID_MAX + 1);
    assert_eq!(Object::new(&long, Kind::User, "", "x", &none), Err(ObjectError::Id(ID_MAX + 1)));
    assert!(
        Object::new(&long[1..], Kind::User, &"\u{e9}".repeat(999), "X", &none)
            .is_ok_and(|object| { object.label().len() == LABEL_MAX && object.stream() == "x" })
    );
    for stream in ["", " ", "a\nb", &"s".repeat(321)] {
        assert!(matches!(Object::new("x", Kind::User, "", stream, &none), Err(ObjectError::Stream(_))));
    }
    let mut copy = Copy::new();
    for n in 0..ADDRESSES_MAX / OBJECT_ADDRESSES_MAX {
        let keys: Vec<String> =
            (0..OBJECT_ADDRESSES_MAX).map(|at| format!("a{at}.{n}@example.com")).collect();
        let keys = keys.iter().map(String::as_str);
        copy.put(&Object::of_parts(&n.to_string(), Kind::User, "", "x", keys)).unwrap();
    }
    assert_eq!(copy.put(&user("one", &["more@example.com"])), Err(CopyFull::Addresses));
    assert_eq!(copy.put(&user("0", &["less@example.com"])), Ok(()));
    assert_eq!(copy.addresses(), ADDRESSES_MAX - OBJECT_ADDRESSES_MAX + 1);
}

#[test]
fn objects_are_bounded_and_garbage_is_collected() {
    let mut copy = Copy::new();
    for n in 0..OBJECTS_MAX {
        copy.put(&Object::of_parts(&n.to_string(), Kind::Other, "", "x", [].into_iter())).unwrap();
    }
    assert_eq!(copy.put(&user("one", &[])), Err(CopyFull::Objects));
    assert_eq!(copy.put(&user("7", &["seven@example.com"])), Ok(()));
    let mut small = Copy::new();
    for n in 0..20_000 {
        small.put(&user("ann", &[&format!("address-number-{n}@example.com")])).unwrap();
    }
    assert!(small.memory() < 1 << 19, "{}", small.memory());
}

#[test]
fn an_object_survives_in_its_record() {
    let ann = object("0f3c", Kind::Group, &["ann@example.com", "\"a b\"@example.com"]);
    assert_eq!(Object::from_record("0f3c", &ann.record()), Ok(ann.clone()));
    assert_eq!(Object::from_record("0f3c", &ann.record()[1..]), Err(ObjectError::Record));
    assert_eq!(Object::from_record("", &ann.record()), Err(ObjectError::Id(0)));
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8, Kind, BTreeSet<u8>),
    Remove(u8),
    Shrink,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let kind = prop_oneof![Just(Kind::User), Just(Kind::Group), Just(Kind::Contact)];
    let act = prop_oneof![
        6 => (0_u8..8, kind, proptest::collection::btree_set(0_u8..12, 0..5)).prop_map(|(id, kind, set)| Act::Put(id, kind, set)),
        2 => (0_u8..8).prop_map(Act::Remove),
        1 => Just(Act::Shrink),
    ];
    proptest::collection::vec(act, 0..60)
}

proptest! {
    /// Against plain maps.
    #[test]
    fn it_is_what_a_plain_map_is(acts in acts()) {
        let mut copy = Copy::new();
        let mut model: BTreeMap<String, Object> = BTreeMap::new();
        for act in acts {
            let before = copy.objects().collect::<Vec<_>>();
            let change = match &act {
                Act::Put(id, kind, addresses) => {
                    let addresses: Vec<String> = addresses.iter().map(|n| format!("a{n}@d{}.example", n % 3)).collect();
                    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                    Change::Put(object(&format!("id{id}"), *kind, &addresses))
                }
                Act::Remove(id) => Change::Remove(format!("id{id}").into()),
                Act::Shrink => {
                    copy.shrink();
                    continue;
                }
            };
            let expected = Difference::after(&copy, std::slice::from_ref(&change));
            match change {
                Change::Put(object) => {
                    copy.put(&object).unwrap();
                    model.insert(object.id().to_owned(), object);
                }
                Change::Remove(id) => prop_assert_eq!(copy.remove(&id), model.remove(&*id).is_some()),
            }
            let mut old = Copy::new();
            before.iter().for_each(|object| old.put(object).unwrap());
            let counts = |difference: &Difference| -> Vec<_> {
                difference.domains.iter().map(|(d, c)| (d.clone(), c.before, c.removed, c.added)).collect()
            };
            prop_assert_eq!(counts(&Difference::between(&old, &copy)), counts(&expected));
        }
        prop_assert_eq!(copy.len(), model.len());
        let found: BTreeMap<String, Object> = copy.objects().map(|o| (o.id().to_owned(), o)).collect();
        prop_assert_eq!(&found, &model);
        for n in 0_u8..12 {
            let address = format!("a{n}@d{}.example", n % 3);
            let claims = model.values().filter(|object| object.addresses().any(|known| known == address));
            let expected = claims.min_by_key(|object| (object.kind(), object.id().to_owned()));
            prop_assert_eq!(owner(&copy, &address), expected.map(Object::id));
        }
    }
}
