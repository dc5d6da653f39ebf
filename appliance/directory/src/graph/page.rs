//! A page of a delta query, parsed from a bounded body.

use config_schema::{Guid, user_lookup::entra_id::WebHost};
use serde::{Deserialize, Deserializer};

use super::{fault::Fault, link::Link};

/// Longest body of a page. Graph's pages have some hundred objects.
pub const PAGE_MAX: usize = 8 << 20;
/// Addresses of one object that are read; Exchange Online allows some hundred.
pub const PROXIES_MAX: usize = 1_000;

/// Bytes of one object's addresses that are read, so that it fits into a row of the store.
pub const PROXIES_BYTES_MAX: usize = 48_000;
/// Objects of one page. Graph gives up to a thousand.
pub const ITEMS_MAX: usize = 5_000;

/// What a page says of a property.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Nothing: it is as it was.
    #[default]
    Unchanged,
    /// It is no more.
    Cleared,
    /// It is this now.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An absent property never comes here: it has its default.
        Ok(Option::deserialize(deserializer)?.map_or(Change::Cleared, Change::Set))
    }
}

/// An object as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which one.
    pub id: Guid,
    /// Gone, for good or restorable; neither gets mail now.
    pub removed: bool,
    /// What is said of its properties.
    pub properties: Properties,
}

/// The properties that are read, as far as a page names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// For people.
    pub display_name: Change<String>,
    /// The address that is shown.
    pub mail: Change<String>,
    /// Every address, each with the prefix of its kind.
    pub proxy_addresses: Change<Vec<String>>,
    /// Users: whether sign-in is allowed.
    pub account_enabled: Change<bool>,
    /// Users: `Member` or `Guest`.
    pub user_type: Change<String>,
    /// Groups: whether they take mail.
    pub mail_enabled: Change<bool>,
    /// Groups: `Unified` for those of Microsoft 365.
    pub group_types: Change<Vec<String>>,
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What it shows; perhaps nothing, perhaps an object twice.
    pub items: Vec<Item>,
    /// What comes behind it.
    pub end: End,
}

/// What comes behind a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Another page.
    Next(Link),
    /// Nothing for now; later changes are asked for here.
    Delta(Link),
}

#[derive(Deserialize)]
struct RawPage {
    value: Vec<RawItem>,
    #[serde(rename = "@odata.nextLink", default)]
    next: Option<String>,
    #[serde(rename = "@odata.deltaLink", default)]
    delta: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawItem {
    id: String,
    #[serde(rename = "@removed", default)]
    removed: Option<Removed>,
    #[serde(default)]
    display_name: Change<String>,
    #[serde(default)]
    mail: Change<String>,
    #[serde(default)]
    proxy_addresses: Change<Vec<String>>,
    #[serde(default)]
    account_enabled: Change<bool>,
    #[serde(default)]
    user_type: Change<String>,
    #[serde(default)]
    mail_enabled: Change<bool>,
    #[serde(default)]
    group_types: Change<Vec<String>>,
}

/// `changed` is soft-deleted, `deleted` is gone; an unknown reason is no reason to keep what is removed.
#[derive(Deserialize)]
struct Removed {}

impl Page {
    /// Parses the body of an answer by `graph`.
    ///
    /// # Errors
    /// A body that is not such a page, or a link that is not followed.
    pub fn parse(body: &[u8], graph: &WebHost) -> Result<Page, Fault> {
        let malformed = |why: String| Fault::Malformed(why.into());
        let raw: RawPage = serde_json::from_slice(body).map_err(|why| malformed(why.to_string()))?;
        let end = match (raw.next, raw.delta) {
            (Some(next), None) => End::Next(Link::parse(&next, graph)?),
            (None, Some(delta)) => End::Delta(Link::parse(&delta, graph)?),
            (None, None) => return Err(malformed("a page without a link".into())),
            (Some(_), Some(_)) => return Err(malformed("a page that ends and goes on".into())),
        };
        Ok(Page { items: items(raw.value)?, end })
    }
}

#[derive(Deserialize)]
struct RawList {
    value: Vec<RawItem>,
}

/// Parses the answer to a search: objects without links.
pub(super) fn parse_list(body: &[u8]) -> Result<Vec<Item>, Fault> {
    let list: RawList =
        serde_json::from_slice(body).map_err(|why| Fault::Malformed(why.to_string().into()))?;
    items(list.value)
}

fn items(raw: Vec<RawItem>) -> Result<Vec<Item>, Fault> {
    if raw.len() > ITEMS_MAX {
        return Err(Fault::Malformed(format!("a page of more than {ITEMS_MAX} objects").into()));
    }
    raw.into_iter().map(RawItem::item).collect()
}

impl RawItem {
    fn item(self) -> Result<Item, Fault> {
        let id = self.id.parse();
        let id = id.map_err(|_| Fault::Malformed("an object whose id is no GUID".into()))?;
        let properties = Properties {
            display_name: self.display_name,
            mail: self.mail,
            proxy_addresses: self.proxy_addresses,
            account_enabled: self.account_enabled,
            user_type: self.user_type,
            mail_enabled: self.mail_enabled,
            group_types: self.group_types,
        };
        Ok(Item { id, removed: self.removed.is_some(), properties })
    }
}

#[derive(Deserialize)]
struct Refused {
    error: Reason,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
}

/// Whether an answer says that the link is too old: a full read is due.
pub(super) fn is_stale(status: u16, body: &[u8]) -> bool {
    let code = || serde_json::from_slice::<Refused>(body).map(|refused| refused.error.code);
    match status {
        410 => true,
        400..=499 => code().is_ok_and(|code| {
            ["syncStateNotFound", "syncStateInvalid", "resyncRequired"]
                .iter()
                .any(|stale| code.eq_ignore_ascii_case(stale))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> WebHost {
        "graph.example".parse().unwrap()
    }

    #[test]
    fn a_page_tells_absent_from_null() {
        let body = br#"{
            "@odata.context": "https://graph.example/v1.0/$metadata#users",
            "@odata.nextLink": "https://graph.example/v1.0/users/delta?$skiptoken=x",
            "value": [
                {"id": "00000000-0000-0000-0000-000000000001", "mail": null, "displayName": "Ann",
                 "proxyAddresses": ["SMTP:ann@example.com"], "accountEnabled": true, "otherMails": ["a@b.example"]},
                {"id": "00000000-0000-0000-0000-000000000002", "@removed": {"reason": "changed"}},
                {"id": "00000000-0000-0000-0000-000000000003", "@removed": {"reason": "deleted"}}
            ]
        }"#;
        let page = Page::parse(body, &graph()).unwrap();
        assert!(matches!(page.end, End::Next(_)));
        let [ann, gone, deleted] = page.items.as_slice() else { panic!("{page:?}") };
        assert_eq!(ann.properties.mail, Change::Cleared);
        assert_eq!(ann.properties.user_type, Change::Unchanged);
        assert_eq!(ann.properties.account_enabled, Change::Set(true));
        assert!(!ann.removed && gone.removed && deleted.removed);
    }

    #[test]
    fn what_is_no_page_says_so() {
        let id = r#"[{"id": "x"}]"#;
        for body in [
            "<html>Service unavailable</html>".to_owned(),
            r#"{"value": ["#.to_owned(),
            r#"{"value": []}"#.to_owned(),
            r#"{"@odata.deltaLink": "https://graph.example/x"}"#.to_owned(),
            format!(r#"{{"value": {id}, "@odata.deltaLink": "https://graph.example/x"}}"#),
            r#"{"value": [], "@odata.deltaLink": "https://graph.example/x", "@odata.nextLink": "https://graph.example/x"}"#.to_owned(),
            format!("{}{}", r#"{"value": [], "x": "#, "[".repeat(100_000)),
        ] {
            assert!(matches!(Page::parse(body.as_bytes(), &graph()), Err(Fault::Malformed(_))), "{body:.80}");
        }
        let away = r#"{"value": [], "@odata.deltaLink": "https://evil.example/x"}"#;
        assert!(matches!(Page::parse(away.as_bytes(), &graph()), Err(Fault::Link(_))));
    }

    #[test]
    fn a_page_has_a_most() {
        let page = |count: usize| {
            let item = r#"{"id": "00000000-0000-0000-0000-000000000001"}"#;
            let items = vec![item; count].join(",");
            let page = format!(r#"{{"value": [{items}], "@odata.deltaLink": "https://graph.example/x"}}"#);
            Page::parse(page.as_bytes(), &graph())
        };
        assert_eq!(page(ITEMS_MAX).unwrap().items.len(), ITEMS_MAX);
        assert!(page(ITEMS_MAX + 1).is_err());
    }

    #[test]
    fn a_stale_link_is_told_in_two_ways() {
        assert!(is_stale(410, b""));
        assert!(is_stale(400, br#"{"error": {"code": "syncStateNotFound", "message": ""}}"#));
        assert!(!is_stale(400, br#"{"error": {"code": "BadRequest", "message": ""}}"#));
        assert!(!is_stale(403, b"<html>") && !is_stale(500, b""));
    }
}
