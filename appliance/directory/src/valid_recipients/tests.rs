use proptest::prelude::*;

use super::*;

fn ours(domain: &DomainName) -> bool {
    ["example.com", "xn--bcher-kva.example", "b"].contains(&domain.as_str())
}

fn import(file: &[u8], skip_bad: bool) -> Result<Import, Mistakes> {
    let realm = "example".parse().unwrap();
    read(file, Terms { realm: &realm, is_ours: &ours, skip_bad })
}

fn entries(file: &str) -> Vec<String> {
    let import = import(file.as_bytes(), false).unwrap_or_else(|mistakes| panic!("{file:?}: {mistakes}"));
    import.entries.iter().map(print).collect()
}

fn print(entry: &Entry) -> String {
    let stream = entry.stream.as_ref().map(|stream| format!(" {stream}"));
    format!("{} {}{}", entry.line, entry.address, stream.unwrap_or_default())
}

fn mistakes(file: &str) -> Vec<String> {
    import(file.as_bytes(), false).unwrap_err().listed.iter().map(ToString::to_string).collect()
}

#[test]
fn files_as_people_have_them() {
    for (file, expected) in [
        ("", vec![]),
        ("\r\n\n", vec![]),
        ("ann@example.com", vec!["1 ann@example.com"]),
        ("ann@example.com\r\nbob@example.com\r\n", vec!["1 ann@example.com", "2 bob@example.com"]),
        ("\u{feff}address\nann@example.com\n", vec!["2 ann@example.com"]),
        ("Stream, Address ,x\nsales,ann@example.com,9\n", vec!["2 ann@example.com example:sales"]),
        ("address;stream\r\nann@example.com;Example:Sales\r\n", vec!["2 ann@example.com example:sales"]),
        (
            "ann@example.com;sales\n\nbob@example.com\n",
            vec!["1 ann@example.com example:sales", "3 bob@example.com"],
        ),
        ("\"\"\"Ann Lee\"\"@example.com\"\n", vec!["1 \"Ann Lee\"@example.com"]),
        ("'+ann@example.com\n'=x@example.com,'-y", vec!["1 +ann@example.com", "2 =x@example.com example:-y"]),
        ("'ann'@example.com\n''ann'@example.com", vec!["1 'ann'@example.com", "2 'ann'@example.com"]),
        (" J\u{fc}rgen@B\u{fc}cher.example ,\n", vec!["1 J\u{fc}rgen@xn--bcher-kva.example"]),
    ] {
        assert_eq!(entries(file), expected, "{file:?}");
    }
}

#[test]
fn exchange_exports_are_read() {
    let file = "#TYPE Selected.Microsoft.Exchange.Data\r\n\
        \"DisplayName\",\"EmailAddresses\"\r\n\
        \"Ann\",\"SMTP:ann@example.com;smtp:a.lee@Example.com;X500:/o=Org; Unit/cn=ann, x;SIP:ann@example.com\"\r\n\
        \"All\",\"smtp:all@example.onmicrosoft.com SMTP:all@example.com\"\r\n\
        \"Room\",\"{SMTP:room@example.com, smtp:r1@example.com}\"\r\n\
        \"Nobody\",\"\"\r\n";
    let import = import(file.as_bytes(), false).unwrap();
    let found: Vec<String> = import.entries.iter().map(print).collect();
    assert_eq!(
        found,
        [
            "3 ann@example.com",
            "3 a.lee@example.com",
            "4 all@example.com",
            "5 room@example.com",
            "5 r1@example.com"
        ]
    );
    assert_eq!(import.foreign, 3, "X500, SIP and the tenant's own domain");
    assert_eq!(
        entries("SMTP:ann@example.com;smtp:bob@example.com\n"),
        ["1 ann@example.com", "1 bob@example.com"]
    );
    let typed = mistakes("EmailAddresses\nSystem.Collections.ArrayList\n");
    assert!(typed[0].contains("-join"), "{typed:?}");
}

#[test]
fn each_bad_line_is_told_by_its_number() {
    let file = "address,stream\n\
        ann@example.com,sales\n\
        not an address\n\
        bob@example.org\n\
        c@[192.0.2.1]\n\
        d@example.com,other:x\n\
        ,x\n\
        \"e@example.com\"x\n\
        f@example.com\n\
        \"g@example.com\n\
        h@example.com\n";
    assert_eq!(
        mistakes(file),
        [
            "line 3: `not an address` is no address, at octet 3: expected `@`",
            "line 4: domain `example.org` is not one of the realm's",
            "line 5: an address literal, expected a domain of the realm's",
            "line 6: a stream of realm `other`, expected one of this realm's",
            "line 7: no address",
            "line 8: text follows a closing quote, expected the next cell; a quote within quotes is written twice",
            "line 10: a quote is opened and never closed",
        ]
    );
    let skipped = import(file.as_bytes(), true).unwrap();
    let good: Vec<String> = skipped.entries.iter().map(print).collect();
    assert_eq!(good, ["2 ann@example.com example:sales", "9 f@example.com", "11 h@example.com"]);
    assert_eq!(skipped.mistakes.listed.len(), 7);
    let utf8 = import(b"a@example.com\nb\xFF@example.com\n", false).unwrap_err();
    assert_eq!(utf8.listed, [Mistake { line: 2, problem: Problem::NotUtf8 }]);
    assert_eq!(
        mistakes("a@example.com,b,c\n"),
        ["line 1: 3 cells, expected an address and perhaps a stream"]
    );
}

#[test]
fn what_is_wrong_with_the_whole_is_told_even_when_bad_lines_are_skipped() {
    for (file, problem) in [
        (&b"\xFF\xFEa\0"[..], Problem::Utf16),
        (b"name,stream\nAnn,x\n", Problem::NoAddressColumn),
        (b"Ann\na@example.com\n", Problem::NoAddressColumn),
        (b"address,Address\n", Problem::ColumnTwice("address")),
    ] {
        let mistakes = import(file, true).unwrap_err();
        assert_eq!(mistakes.listed.last().map(|mistake| &mistake.problem), Some(&problem));
    }
}

#[test]
fn every_limit_holds() {
    let problem = |file: &[u8]| import(file, true).unwrap_err().listed.pop().unwrap().problem;
    assert_eq!(problem(&vec![b'\n'; BYTES_MAX + 1]), Problem::Bytes);
    let lines = |count: u32| [vec![b'\n'; count as usize - 1], b"a@example.com".to_vec()].concat();
    assert_eq!(problem(&lines(LINES_MAX + 1)), Problem::Lines);
    assert_eq!(import(&lines(LINES_MAX), false).unwrap().entries.len(), 1);
    let many = import("a@b\n".repeat(ENTRIES_MAX + 9).as_bytes(), true);
    let first = many.unwrap_err().listed.pop().unwrap();
    assert_eq!((first.line as usize, first.problem), (ENTRIES_MAX + 1, Problem::Entries));
    let wide = |cells: usize| format!("address\na@example.com{}\n", ",".repeat(cells - 1));
    assert_eq!(entries(&wide(CELLS_MAX)).len(), 1);
    assert_eq!(mistakes(&wide(CELLS_MAX + 1)), ["line 2: more than 256 cells"]);
    let long = |octets: usize| format!("address,x\na@example.com,{}\n", "x".repeat(octets - 14));
    assert_eq!(entries(&long(RECORD_MAX)).len(), 1);
    assert!(mistakes(&long(RECORD_MAX + 1))[0].starts_with("line 2: longer than"));
    let quoted = format!("address,x\na@example.com,\"{}\nb@example.com\n", "x\n".repeat(RECORD_MAX));
    assert!(mistakes(&quoted)[0].starts_with("line 2: longer than"));
    let bad = import("x@\n".repeat(MISTAKES_MAX + 7).as_bytes(), false).unwrap_err();
    assert_eq!((bad.listed.len(), bad.more), (MISTAKES_MAX, 7));
}

fn addresses() -> impl Strategy<Value = Address> {
    "[ -~\u{e4}]{1,12}".prop_filter_map("a local part", |content| {
        let local = smtp::address::LocalPart::from_content(&content).ok()?;
        Some(Address::new(local, "a@example.com".parse::<Address>().ok()?.host().clone()))
    })
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_again(
        rows in proptest::collection::vec((addresses(), "[!-~][ -~]{0,9}"), 0..20),
    ) {
        let mut file = HEADER.to_owned();
        let mut expected = Vec::new();
        for (address, stream) in rows {
            let Ok(stream) = StreamName::new("example".parse().unwrap(), &stream) else { continue };
            file.push_str(&row(&address, &stream));
            expected.push((address, Some(stream)));
        }
        let safe = |cell: char| !"=+-@\t".contains(cell);
        prop_assert!(file.lines().all(|line| line.starts_with(safe)), "{}", file);
        let found = import(file.as_bytes(), false).unwrap();
        let found: Vec<_> = found.entries.into_iter().map(|entry| (entry.address, entry.stream)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_octets_are_read(file in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'a'), Just(b'@'), any::<u8>()], 0..200)) {
        let lines = file.iter().filter(|byte| **byte == b'\n').count() + 1;
        match import(&file, true) {
            Ok(import) => {
                let told = import.mistakes.listed.iter().map(|mistake| mistake.line);
                prop_assert!(told.chain(import.entries.iter().map(|entry| entry.line)).all(|line| line as usize <= lines));
            }
            Err(mistakes) => prop_assert!(!mistakes.is_empty()),
        }
    }
}
