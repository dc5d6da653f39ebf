use super::*;

#[test]
fn spellings_of_one_mailbox_are_one_value() {
    let plain = Address::parse("john.smith@example.org").unwrap();
    for text in ["john.smith@Example.ORG", "\"john.smith\"@example.org", "\"john\\.smith\"@example.org"] {
        assert_eq!(Address::parse(text).unwrap(), plain, "{text}");
    }
}
