use serde_json::Value;

use super::*;

const NOW: u64 = 1_800_000_000;

fn tenant(users: usize) -> Tenant {
    let mut tenant = Tenant::new("graph.test");
    tenant.populate(users, "example.com");
    tenant
}

fn post(tenant: &Tenant, form: &str) -> Request {
    let target = format!("/{}/oauth2/v2.0/token", tenant.id);
    Request { method: "POST".into(), target, body: form.into(), ..Request::default() }
}

fn form(secret: &str) -> String {
    let client = "7a9c3b52-1111-4222-8333-444455556666";
    format!(
        "grant_type=client_credentials&client_id={client}&client_secret={secret}\
         &scope=https%3A%2F%2Fgraph.test%2F.default"
    )
}

fn signed_in(tenant: &mut Tenant) -> String {
    let request = post(tenant, &form("s3cret~for.tests"));
    let reply = tenant.answer(&request, NOW);
    assert_eq!(reply.status, 200);
    json(&reply)["access_token"].as_str().unwrap().to_owned()
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn get(tenant: &mut Tenant, token: &str, target: &str, unix: u64) -> Reply {
    let authorization = Some(format!("Bearer {token}"));
    let request =
        Request { method: "GET".into(), target: target.into(), authorization, ..Request::default() };
    tenant.answer(&request, unix)
}

/// The pages from `target` on, and the delta link's target.
fn pages(tenant: &mut Tenant, token: &str, target: &str) -> (Vec<Vec<String>>, String) {
    let (mut pages, mut target) = (Vec::new(), target.to_owned());
    loop {
        let page = json(&get(tenant, token, &target, NOW));
        let items = page["value"].as_array().unwrap();
        pages.push(items.iter().map(|item| item["id"].as_str().unwrap()[34..].to_owned()).collect());
        let link = |name: &str| page[name].as_str().map(|link| link.replace("https://graph.test", ""));
        if let Some(delta) = link("@odata.deltaLink") {
            return (pages, delta);
        }
        target = link("@odata.nextLink").unwrap();
    }
}

#[test]
fn a_token_is_given_for_the_secret_and_lives_for_its_time() {
    let mut tenant = tenant(0);
    let request = post(&tenant, &form("wrong"));
    let reply = tenant.answer(&request, NOW);
    assert_eq!((reply.status, &json(&reply)["error_codes"][0]), (401, &Value::from(7_000_215)));
    let token = signed_in(&mut tenant);
    let first = "/v1.0/users/delta?$select=id";
    assert_eq!(get(&mut tenant, &token, first, NOW + 3_598).status, 200);
    assert_eq!(get(&mut tenant, &token, first, NOW + 3_599).status, 401);
    assert_eq!(get(&mut tenant, "another", first, NOW).status, 401);
}

#[test]
fn pages_are_small_repeat_themselves_and_may_be_empty() {
    let mut tenant = tenant(5);
    let token = signed_in(&mut tenant);
    let (first, delta) = pages(&mut tenant, &token, "/v1.0/users/delta?$select=id");
    assert_eq!(first, [vec![], vec!["00", "01", "02"], vec!["02", "03", "04"]]);
    tenant.remove(Collection::Users, "00000000-0000-4000-8000-000000000001", Removed::Changed);
    tenant.set(Collection::Users, "00000000-0000-4000-8000-0000000000aa", Entry::default());
    let (changes, delta) = pages(&mut tenant, &token, &delta);
    assert_eq!(changes, [vec![], vec!["01", "aa"]]);
    assert_eq!(pages(&mut tenant, &token, &delta).0, [[""; 0], [""; 0]]);
    tenant.age();
    assert_eq!(get(&mut tenant, &token, &delta, NOW).status, 410);
}

#[test]
fn a_cleared_property_is_null_and_one_never_set_is_absent() {
    let mut tenant = tenant(1);
    tenant.empty_first = false;
    let id = "00000000-0000-4000-8000-000000000000";
    let entry = Entry { enabled: Some(false), ..Entry::default() };
    tenant.set(Collection::Users, id, entry);
    let token = signed_in(&mut tenant);
    let page = json(&get(&mut tenant, &token, "/v1.0/users/delta?$select=id", NOW));
    let item = &page["value"][0];
    assert_eq!((item.get("mail"), item.get("mailEnabled")), (Some(&Value::Null), None));
    assert_eq!(item["accountEnabled"], false);
}

#[test]
fn a_search_needs_what_microsoft_asks_for() {
    let mut tenant = tenant(3);
    let token = signed_in(&mut tenant);
    let target = "/v1.0/users?$filter=proxyAddresses%2Fany%28p%3Ap%20eq%20%27smtp%3AUSER2%40example.com%27%29&$count=true";
    assert_eq!(get(&mut tenant, &token, target, NOW).status, 400);
    let request = Request {
        method: "GET".into(),
        target: target.into(),
        authorization: Some(format!("Bearer {token}")),
        eventual: true,
        ..Request::default()
    };
    let found = json(&tenant.answer(&request, NOW));
    assert_eq!(found["@odata.count"], 1);
    assert_eq!(found["value"][0]["mail"], "user2@example.com");
}
