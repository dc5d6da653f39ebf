use proptest::prelude::*;

use super::*;

fn why(text: &str) -> (usize, FilterProblem) {
    let error = text.parse::<Filter>().expect_err(text);
    (error.at, error.problem)
}

#[test]
fn the_examples_of_the_rfc_are_read_and_printed() {
    // RFC 4515 §4, those of its values that are text.
    for text in [
        "(cn=Babs Jensen)",
        "(!(cn=Tim Howes))",
        "(&(objectClass=Person)(|(sn=Jensen)(cn=Babs J*)))",
        "(o=univ*of*mich*)",
        "(seeAlso=)",
        "(cn:caseExactMatch:=Fred Flintstone)",
        "(cn:=Betty Rubble)",
        "(sn:dn:2.4.6.8.10:=Barney Rubble)",
        "(o:dn:=Ace Industry)",
        "(:1.2.3:=Wilma Flintstone)",
        "(:dn:2.4.6.8.10:=Dino)",
        "(o=Parens R Us \\28for all your parenthetical needs\\29)",
        "(cn=*\\2a*)",
        "(filename=C:\\5cMyFile)",
        "(mail=*)",
        "(logonCount>=1)",
        "(logonCount<=1)",
        "(sn~=Smith)",
        "(!(userAccountControl:1.2.840.113556.1.4.803:=2))",
        "(1.2.840.113556.1.4.221=ann)",
    ] {
        assert_eq!(text.parse::<Filter>().unwrap_or_else(|why| panic!("{text}: {why}")).to_string(), text);
    }
    assert_eq!("\n( & (a=b)\n (! (c=d) ) )\n".parse::<Filter>().unwrap().to_string(), "(&(a=b)(!(c=d)))");
    assert_eq!("(sn=Lu\\c4\\8di\\c4\\87)".parse::<Filter>().unwrap().to_string(), "(sn=Lučić)");
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    use FilterProblem::*;
    for (text, place) in [
        ("", (0, Open)),
        ("objectClass=user", (0, Open)),
        ("(mail=a", (7, Close)),
        ("(mail=a))", (8, Trailing)),
        ("(&)", (2, Open)),
        ("(=a)", (1, Attribute)),
        ("(1a=b)", (1, Attribute)),
        ("(ma il=a)", (3, Operator)),
        ("(mail)", (5, Operator)),
        ("(mail=\\4)", (6, Escape)),
        ("(mail=\\zz)", (6, Escape)),
        ("(mail=a(b)", (7, Unescaped)),
        ("(x=\\ff)", (3, Binary)),
        ("(mail=a**b)", (10, EmptyPart)),
        ("(:=a)", (1, Attribute)),
        ("(cn:&:=a)", (4, Rule)),
    ] {
        assert_eq!(why(text), place, "{text}");
    }
}

#[test]
fn a_filter_has_a_length_and_a_depth() {
    let nested = |depth: usize| format!("{}(a=b){}", "(!".repeat(depth - 1), ")".repeat(depth - 1));
    assert!(nested(FILTER_DEPTH_MAX).parse::<Filter>().is_ok());
    assert_eq!(why(&nested(FILTER_DEPTH_MAX + 1)).1, FilterProblem::TooDeep);
    let long = |len: usize| format!("(a={})", "b".repeat(len - 4));
    assert!(long(FILTER_MAX).parse::<Filter>().is_ok());
    assert_eq!(why(&long(FILTER_MAX + 1)).1, FilterProblem::TooLong);
    assert_eq!(why(&"(!".repeat(1_000)).1, FilterProblem::TooDeep);
}

fn filters() -> impl Strategy<Value = Filter> {
    let name = "[a-z][a-z0-9-]{0,5}(;[a-z]{1,3})?";
    let value = "\\PC{1,6}|[()*\\\\\\x00-\\x1f]{1,4}";
    let test = prop_oneof![
        Just(Test::Present),
        value.prop_map(Test::Equal),
        value.prop_map(Test::GreaterOrEqual),
        value.prop_map(Test::LessOrEqual),
        value.prop_map(Test::Approximate),
        (value, prop::collection::vec(value, 0..3), prop::option::of(value))
            .prop_map(|(first, any, last)| { Test::Substrings { initial: Some(first), any, last } }),
    ];
    let item = (name, test).prop_map(|(attribute, test)| Filter::Item { attribute, test });
    let rule = "[1-9](\\.[0-9]{1,3}){1,3}";
    let extensible = (name, any::<bool>(), rule, value).prop_map(|(attribute, dn, rule, value)| {
        Filter::Extensible { attribute: Some(attribute), dn, rule: Some(rule), value }
    });
    prop_oneof![item, extensible].prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

proptest! {
    #[test]
    fn a_filter_prints_to_what_reads_back(filter in filters()) {
        let printed = filter.to_string();
        prop_assume!(printed.len() <= FILTER_MAX);
        prop_assert_eq!(printed.parse::<Filter>(), Ok(filter), "{}", printed);
    }

    #[test]
    fn no_text_panics(text in "[(&|!)a-c=*:\\\\0-9 .;~<>\\PC]{0,60}") {
        if let Ok(filter) = text.parse::<Filter>() {
            prop_assert_eq!(filter.to_string().parse::<Filter>(), Ok(filter));
        }
    }
}
