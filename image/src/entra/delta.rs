//! Graph's delta queries and its search for an address.

use serde_json::{Map, Value, json};

use super::{
    Reply,
    tenant::{Collection, Object, PROPERTIES, Removed, Tenant, property, refused},
};

/// Where a paging stands. It is written into the links, which nobody else is to read.
struct Place {
    /// What is newer than this is shown; 0: everything.
    since: u64,
    /// What later changes are newer than.
    until: u64,
    /// The last object that was shown.
    after: Option<String>,
}

impl Tenant {
    pub(super) fn delta(&mut self, collection: Collection, parameters: &str) -> Reply {
        let place = match parameters.split_once('=') {
            // The parameters go into the first request only.
            Some(("$select", _)) => Place { since: 0, until: self.version, after: None },
            Some(("$deltatoken", token)) => match token.parse() {
                Ok(since) if since >= self.oldest => Place { since, until: self.version, after: None },
                _ => return refused(410, "syncStateNotFound"),
            },
            Some(("$skiptoken", token)) => match Place::parse(token) {
                Some(place) if place.since == 0 || place.since >= self.oldest => place,
                _ => return refused(410, "syncStateNotFound"),
            },
            _ => return refused(400, "BadRequest"),
        };
        self.page(collection, &place)
    }

    fn page(&self, collection: Collection, place: &Place) -> Reply {
        let link = |parameter: String| {
            format!("https://{}/v1.0/{}/delta?{parameter}", self.graph_host, collection.name())
        };
        let next = |after: &str| link(format!("$skiptoken={}.{}.{after}", place.since, place.until));
        if place.after.is_none() && self.empty_first {
            return page(Vec::new(), "@odata.nextLink", next(""));
        }
        let after = place.after.clone().unwrap_or_default();
        let objects = self.objects.get(&collection);
        let shown = |object: &Object| match place.since {
            0 => object.removed.is_none(),
            since => object.version > since,
        };
        let from = (std::ops::Bound::Excluded(after.clone()), std::ops::Bound::Unbounded);
        let mut rest = objects
            .into_iter()
            .flat_map(|objects| objects.range(from.clone()))
            .filter(|(_, object)| shown(object));
        let mut last = after.clone();
        let mut items = Vec::new();
        if self.repeat
            && let Some(object) =
                objects.and_then(|objects| objects.get(&after)).filter(|object| shown(object))
        {
            items.push(self.item(&after, object, place.since));
        }
        for (id, object) in rest.by_ref().take(self.page_size) {
            last.clone_from(id);
            items.push(self.item(id, object, place.since));
        }
        let more = rest.next().is_some();
        if more || self.endless.contains(&collection) {
            return page(items, "@odata.nextLink", next(&last));
        }
        page(items, "@odata.deltaLink", link(format!("$deltatoken={}", place.until)))
    }

    fn item(&self, id: &str, object: &Object, since: u64) -> Value {
        let mut item = Map::new();
        item.insert("id".into(), json!(id));
        if let Some(why) = object.removed {
            let reason = match why {
                Removed::Changed => "changed",
                Removed::Deleted => "deleted",
            };
            item.insert("@removed".into(), json!({ "reason": reason }));
            return Value::Object(item);
        }
        for (at, (name, version)) in PROPERTIES.into_iter().zip(object.versions).enumerate() {
            if version > 0 && (!self.minimal || version > since) {
                item.insert(name.into(), property(&object.entry, at));
            }
        }
        // Addresses elsewhere, which count for nothing.
        item.insert("otherMails".into(), json!(["somebody@elsewhere.example"]));
        Value::Object(item)
    }

    /// `?$filter=proxyAddresses/any(p:p eq 'smtp:…')&$count=true&…`.
    pub(super) fn search(&self, collection: Collection, parameters: &str, eventual: bool) -> Reply {
        let mut pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
        let filter = pairs.clone().find(|(key, _)| *key == "$filter").map(|(_, value)| percent_decode(value));
        let counted = pairs.any(|pair| pair == ("$count", "true"));
        let wanted = filter.as_deref().and_then(|filter| {
            filter
                .strip_prefix("proxyAddresses/any(p:p eq '")?
                .strip_suffix("')")
                .map(|text| text.replace("''", "'"))
        });
        let Some(wanted) = wanted.filter(|_| counted && eventual) else {
            return refused(400, "Request_UnsupportedQuery");
        };
        let objects = self.objects.get(&collection).into_iter().flatten();
        let found = objects.filter(|(_, object)| {
            let has = object.entry.proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(&wanted));
            has && object.removed.is_none()
        });
        let value: Vec<Value> = found.map(|(id, object)| self.item(id, object, 0)).collect();
        let body = json!({ "@odata.count": value.len(), "value": value });
        Reply { body: body.to_string().into_bytes(), ..Reply::status(200) }
    }
}

impl Place {
    fn parse(token: &str) -> Option<Place> {
        let mut parts = token.splitn(3, '.');
        let since = parts.next()?.parse().ok()?;
        let until = parts.next()?.parse().ok()?;
        Some(Place { since, until, after: Some(parts.next()?.to_owned()) })
    }
}

fn page(items: Vec<Value>, name: &str, link: String) -> Reply {
    let body = json!({ "@odata.context": "https://graph.example/$metadata", "value": items, name: link });
    Reply { body: body.to_string().into_bytes(), ..Reply::status(200) }
}

/// What `%XX` stands for in a query.
pub(super) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = more;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
