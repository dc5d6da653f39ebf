//! Delivery from a store in memory to next hops in memory.

mod hop;
mod office;
mod waiting;

use std::sync::Arc;

use config_schema::Config;
use smtp::{
    address::{ForwardPath, ReversePath},
    envelope::{MailParameters, Notify, RcptParameters, Return},
};
use store::{
    Limits, MessageId, Store, Timestamp,
    message::{Envelope, NewMessage, Recipient, RecipientState, Source},
    queue::{Delivery as Entry, HoldReason, NewDelivery},
    testing::MemoryDisk,
};
use tokio::sync::watch;

use super::*;
use crate::{clock::Clock, dns::Settings, recipient, transport::memory::Memory};
use hop::{Does, Hop, Script};

const BODY: &[u8] = b"Subject: hello\r\nFrom: a@sender.example\r\n\r\nline\r\n.dot\r\n..dots\r\n";
const FIRST: &str = "10.0.0.1:25";
const SECOND: &str = "10.0.0.2:25";
const SENDER: &str = "10.0.0.9:25";
const LATE: Duration = Duration::from_secs(30);

struct Bench {
    store: Store,
    network: Memory,
    delivery: Option<Delivery>,
    appliance: Appliance,
}

/// An appliance with the domain `ours.example` routed to two hosts, and `sender.example`, where notices go.
fn bench(domain: &str) -> Bench {
    let text = format!(
        "version = 1\n[network]\nhostname = \"gate.example\"\naddress = \"dhcp\"\n[delivery]\nconnections-per-destination = 1\n\
         [[realm]]\nname = \"r\"\n\
         [[domain]]\nname = \"sender.example\"\nrealm = \"r\"\nroute = [\"[10.0.0.9]\"]\n\
         [[domain]]\nname = \"ours.example\"\nrealm = \"r\"\nroute = [\"[10.0.0.1]\", \"[10.0.0.2]\"]\n{domain}\n"
    );
    let config = Config::parse("test.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let store = Store::open(Arc::new(MemoryDisk::new(64 << 20)), Limits::default()).unwrap();
    let clock = Clock::starting_at(Timestamp::from_unix_seconds(1_795_000_000));
    let (_, config) = watch::channel(Arc::new(config));
    let appliance = Appliance::new(store.clone(), config, clock);
    Bench { store, network: Memory::default(), delivery: None, appliance }
}

impl Bench {
    fn hop(&self, at: &str, script: Script) -> Hop {
        Hop::listen(&self.network, at.parse().unwrap(), script)
    }

    fn begin(&mut self) {
        let transport: Arc<dyn Transport> = Arc::new(self.network.clone());
        let resolver = Resolver::new(transport.clone(), Settings::default());
        let delivery = start(self.appliance.clone(), transport, resolver);
        delivery.set_addresses(vec!["10.0.0.10".parse().unwrap()]);
        self.delivery = Some(delivery);
    }

    async fn enqueue(&self, from: &str, to: &[&str], notify: Option<Notify>) -> MessageId {
        self.enqueue_with(from, to, notify, MailParameters::default()).await
    }

    async fn enqueue_with(
        &self,
        from: &str,
        to: &[&str],
        notify: Option<Notify>,
        mail: MailParameters,
    ) -> MessageId {
        let now = self.appliance.clock.now();
        let mut writer = self.store.begin(now).unwrap();
        if let Some(pending) = writer.write(BODY).unwrap() {
            pending.await.unwrap();
        }
        let parameters = RcptParameters { notify, orcpt: None };
        let path = |to: &&str| ForwardPath::parse(&format!("<{to}>")).unwrap();
        let recipients: Vec<Recipient> =
            to.iter().map(|to| Recipient::new(path(to), parameters.clone())).collect();
        let destination = recipient::destination(recipients[0].to.address().unwrap().host());
        let expires = now.after(Duration::from_secs(432_000));
        let delivery = NewDelivery { destination, recipients, next_attempt: now, expires };
        let from = ReversePath::parse(&format!("<{from}>")).unwrap();
        let message = NewMessage {
            envelope: Envelope { from, parameters: mail },
            source: Source::Local { about: None },
            received_at: now,
            deliveries: vec![delivery],
            events: vec![],
            streams: Vec::new(),
        };
        let id = writer.commit(message).await.unwrap().id;
        self.appliance.queued.notify_one();
        id
    }

    fn entries(&self) -> Vec<Entry> {
        self.store.deliveries().map(Result::unwrap).collect()
    }

    /// Waits until the queue looks as `wanted` says.
    async fn until(&self, what: &str, wanted: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
        let end = tokio::time::Instant::now() + LATE;
        loop {
            let entries = self.entries();
            if wanted(&entries) {
                return entries;
            }
            assert!(tokio::time::Instant::now() < end, "not in time: {what}; the queue holds {entries:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_empty(&self) {
        self.until("an empty queue", <[Entry]>::is_empty).await;
    }
}

fn tried(entries: &[Entry]) -> bool {
    !entries.is_empty() && entries.iter().all(|entry| entry.attempts > 0 || entry.hold.is_some())
}

#[tokio::test]
async fn a_message_goes_from_the_store_to_the_next_hop_whole() {
    let mut bench = bench("");
    let hop = bench.hop(FIRST, Script::default());
    bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    bench.until_empty().await;
    let mail = hop.mail();
    assert_eq!(mail.len(), 1);
    assert_eq!(
        (mail[0].from.as_str(), mail[0].to.join(" ").as_str()),
        ("<a@sender.example>", "<b@ours.example>")
    );
    assert_eq!(mail[0].body, BODY);
    bench.delivery.take().unwrap().stop(LATE).await;
    bench.store.flush_events().await.unwrap();
    let log = bench.store.events(&store::log::Query::default()).unwrap();
    assert!(log.events.iter().any(|(_, event)| event.kind == "delivery.delivered"));
}

#[tokio::test]
async fn many_messages_share_a_connection() {
    let mut bench = bench("");
    let hop = bench.hop(FIRST, Script::default());
    for _ in 0..20 {
        bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    }
    bench.begin();
    bench.until_empty().await;
    assert_eq!((hop.mail().len(), hop.connections()), (20, 1));
}

#[tokio::test]
async fn an_unknown_recipient_is_reported_and_the_other_gets_the_mail() {
    let mut bench = bench("");
    let script = Script::default().rcpt("<no@ours.example>", "550 5.1.1 no such user");
    let (hop, sender) = (bench.hop(FIRST, script), bench.hop(SENDER, Script::default()));
    bench.enqueue("a@sender.example", &["no@ours.example", "b@ours.example"], None).await;
    bench.begin();
    bench.until_empty().await;
    assert_eq!(hop.mail()[0].to, ["<b@ours.example>"]);
    let notice = &sender.mail()[0];
    assert_eq!((notice.from.as_str(), notice.to.join(" ").as_str()), ("<>", "<a@sender.example>"));
    let text = String::from_utf8(notice.body.clone()).unwrap();
    assert!(
        text.contains("Final-Recipient: rfc822; no@ours.example") && text.contains("Status: 5.1.1"),
        "{text}"
    );
    assert!(!text.contains("line"), "only the header section is returned");
}

#[tokio::test]
async fn the_whole_message_comes_back_to_whoever_asked_for_it() {
    for (ret, whole) in [(Some(Return::Full), true), (Some(Return::Headers), false), (None, false)] {
        let mut bench = bench("");
        let script = Script::default().rcpt("<no@ours.example>", "550 5.1.1 no such user");
        let (_hop, sender) = (bench.hop(FIRST, script), bench.hop(SENDER, Script::default()));
        let parameters = MailParameters { ret, ..MailParameters::default() };
        bench.enqueue_with("a@sender.example", &["no@ours.example"], None, parameters).await;
        bench.begin();
        bench.until_empty().await;
        let text = String::from_utf8(sender.mail()[0].body.clone()).unwrap();
        let body = std::str::from_utf8(BODY).unwrap();
        assert_eq!(text.contains(body), whole, "{text}");
    }
}

#[tokio::test]
async fn nobody_hears_of_what_came_from_nobody_or_wanted_no_word() {
    let mut bench = bench("");
    let refuses = Script::default().on("RCPT", Does::Say("550 5.1.1 no such user"));
    let (_hop, sender) = (bench.hop(FIRST, refuses), bench.hop(SENDER, Script::default()));
    bench.enqueue("", &["no@ours.example"], None).await;
    bench.enqueue("a@sender.example", &["no@ours.example"], Some(Notify::Never)).await;
    bench.begin();
    bench.until_empty().await;
    assert!(sender.mail().is_empty());
}

#[tokio::test]
async fn success_is_reported_where_the_next_hop_will_not() {
    for (offers, notices) in [(false, 1), (true, 0)] {
        let mut bench = bench("");
        let script = if offers { Script::default().offers("DSN") } else { Script::default() };
        let (hop, sender) = (bench.hop(FIRST, script), bench.hop(SENDER, Script::default()));
        let success = Notify::On { success: true, failure: false, delay: false };
        bench.enqueue("a@sender.example", &["b@ours.example"], Some(success)).await;
        bench.begin();
        bench.until_empty().await;
        assert_eq!((hop.mail().len(), sender.mail().len()), (1, notices));
    }
}

#[tokio::test]
async fn a_fault_of_the_configuration_holds_everything_until_it_is_mended() {
    let mut bench = bench("");
    let refuses = Script::default().on(
        "RCPT",
        Does::Say("550 5.7.51 TenantInboundAttribution; There is a partner connector configured"),
    );
    let hop = bench.hop(FIRST, refuses);
    let first = bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    let held = |entries: &[Entry]| {
        entries.iter().all(|entry| entry.hold.as_ref().is_some_and(|h| h.reason == HoldReason::Configuration))
    };
    bench.until("a hold", held).await;
    let connections = hop.connections();
    bench.enqueue("a@sender.example", &["c@ours.example"], None).await;
    bench.until("a second hold", |entries| entries.len() == 2 && held(entries)).await;
    assert_eq!(hop.connections(), connections, "what is held bothers nobody");
    hop.change(Script::default());
    let canary = store::DeliveryId { message: first, number: 0 };
    bench.store.release(canary, bench.appliance.clock.now()).await.unwrap();
    bench.appliance.queued.notify_one();
    bench.until_empty().await;
    assert_eq!(hop.mail().len(), 2);
}

#[tokio::test]
async fn what_is_refused_for_coming_by_ipv6_goes_by_ipv4_and_is_said() {
    let six =
        "[[domain]]\nname = \"six.example\"\nrealm = \"r\"\nroute = [\"[2001:db8::1]\", \"[10.0.0.2]\"]";
    let mut bench = bench(six);
    let refuses = "550 5.7.25 Message must contain a valid PTR record";
    let by_ipv6 = bench.hop("[2001:db8::1]:25", Script::default().on("RCPT", Does::Say(refuses)));
    let by_ipv4 = bench.hop("10.0.0.2:25", Script::default());
    let both = ["10.0.0.10", "2001:db8::10"].map(|address| address.parse().unwrap());
    bench.begin();
    bench.delivery.as_ref().unwrap().set_addresses(both.into());
    bench.enqueue("a@sender.example", &["b@six.example"], None).await;
    bench.until_empty().await;
    assert_eq!((by_ipv6.connections(), by_ipv4.mail().len()), (1, 1));
    let alarms = bench.appliance.alarms.lines();
    assert_eq!(alarms.len(), 1);
    assert!(
        alarms[0].starts_with("IPv6 towards six.example: ") && alarms[0].contains("a valid PTR record"),
        "{alarms:?}"
    );
    by_ipv6.change(Script::default());
    // Not on the connection by IPv4 that is still open.
    bench.delivery.take().unwrap().stop(LATE).await;
    bench.begin();
    bench.delivery.as_ref().unwrap().set_addresses(both.into());
    bench.enqueue("a@sender.example", &["b@six.example"], None).await;
    bench.until_empty().await;
    assert_eq!((by_ipv6.mail().len(), bench.appliance.alarms.lines().len()), (1, 0));
}

#[tokio::test]
async fn what_was_held_is_held_still_after_a_restart() {
    let mut bench = bench("");
    let refuses =
        Script::default().on("RCPT", Does::Say("550 5.7.64 TenantAttribution; Relay Access Denied"));
    let hop = bench.hop(FIRST, refuses);
    bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    bench.until("a hold", |entries| entries.iter().all(|entry| entry.hold.is_some())).await;
    bench.delivery.take().unwrap().stop(LATE).await;
    let connections = hop.connections();
    bench.enqueue("a@sender.example", &["c@ours.example"], None).await;
    bench.begin();
    bench.until("two holds", |entries| entries.len() == 2 && entries.iter().all(|e| e.hold.is_some())).await;
    assert_eq!(hop.connections(), connections);
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_fails_before_the_message() {
    for first in [
        None,
        Some(Script::default().on("GREETING", Does::Close)),
        Some(Script::default().on("GREETING", Does::Say("554 no service"))),
        Some(Script::default().on("GREETING", Does::Say("421 busy"))),
        Some(Script::default().on("GREETING", Does::Say("garbage"))),
        Some(Script::default().on("EHLO", Does::Close)),
        Some(Script::default().on("MAIL", Does::Say("451 later"))),
        Some(Script::default().on("MAIL", Does::Say("354 go on"))),
        Some(Script::default().on("MAIL", Does::Close)),
        Some(Script::default().on("RCPT", Does::Close)),
        Some(Script::default().on("DATA", Does::Close)),
        Some(Script::default().on("GREETING", Does::Flood)),
        Some(Script::default().on("EHLO", Does::LongLine)),
    ] {
        let mut bench = bench("");
        let _first = first.map(|script| bench.hop(FIRST, script));
        let second = bench.hop(SECOND, Script::default());
        bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
        bench.begin();
        bench.until_empty().await;
        assert_eq!(second.mail().len(), 1);
    }
}

#[tokio::test]
async fn what_fails_for_the_moment_stays_in_the_queue_and_goes_out_later() {
    for (verb, does) in [
        ("RCPT", Does::Say("450 4.2.1 mailbox busy")),
        ("DATA", Does::Say("451 4.3.0 later")),
        ("DOT", Does::Say("452 4.3.1 disk full")),
        ("DOT", Does::Close),
        ("DOT", Does::Say("garbage")),
        ("RSET", Does::Close),
    ] {
        let mut bench = bench("");
        let mut script = Script::default().on(verb, does);
        if verb == "RSET" {
            script = script.on("RCPT", Does::Say("450 greylisted"));
        }
        let hop = bench.hop(FIRST, script);
        let second = bench.hop(SECOND, Script::default());
        let id = bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
        bench.begin();
        let entries = bench.until("an attempt", tried).await;
        assert!(entries[0].hold.is_none() && entries[0].next_attempt > bench.appliance.clock.now(), "{verb}");
        assert!(matches!(entries[0].recipients[0].state, RecipientState::Deferred(_)));
        assert!(second.mail().is_empty(), "{verb}: no second host, where a duplicate could come of it");
        hop.change(Script::default());
        let delivery = store::DeliveryId { message: id, number: 0 };
        bench.store.retry_now(delivery, bench.appliance.clock.now()).await.unwrap();
        bench.appliance.queued.notify_one();
        bench.until_empty().await;
        assert_eq!(hop.mail().len(), 1, "{verb}");
    }
}

#[tokio::test]
async fn a_server_that_answers_the_data_too_early_gets_no_message() {
    let mut bench = bench("");
    let hop = bench.hop(FIRST, Script::default().on("DATA", Does::Say("354 go on\r\n250 2.0.0 got it")));
    bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    let entries = bench.until("an attempt", tried).await;
    assert!(matches!(entries[0].recipients[0].state, RecipientState::Deferred(_)));
    assert!(hop.mail().is_empty());
}

#[tokio::test]
async fn without_tls_nothing_is_sent_where_it_is_required() {
    let mut bench = bench("tls = \"required\"");
    let hops = [bench.hop(FIRST, Script::default()), bench.hop(SECOND, Script::default())];
    bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    let entries = bench.until("a hold", tried).await;
    assert_eq!(entries[0].hold.as_ref().unwrap().reason, HoldReason::Configuration);
    assert!(hops.iter().all(|hop| hop.mail().is_empty()));
}

#[tokio::test]
async fn a_handshake_that_fails_is_done_without_where_nobody_demands_it() {
    let mut bench = bench("");
    // It offers STARTTLS, says 220, and then speaks no TLS.
    let hop =
        bench.hop(FIRST, Script::default().offers("STARTTLS").on("STARTTLS", Does::SayAndClose("220 go on")));
    bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    bench.until_empty().await;
    assert_eq!(hop.mail().len(), 1);
}

#[tokio::test]
async fn many_recipients_go_in_several_transactions() {
    let mut bench = bench("");
    let hop = bench.hop(FIRST, Script::default().takes(80));
    let to: Vec<String> = (0..250).map(|n| format!("r{n}@ours.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    bench.enqueue("a@sender.example", &to, None).await;
    bench.begin();
    bench.until_empty().await;
    let mut all: Vec<String> = hop.mail().into_iter().flat_map(|mail| mail.to).collect();
    assert!(hop.mail().iter().all(|mail| mail.to.len() <= 80));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 250);
    assert_eq!(hop.connections(), 1);
}

#[tokio::test]
async fn what_an_administrator_gives_up_is_reported_to_its_sender() {
    let mut bench = bench("");
    let refuses = Script::default().on("RCPT", Does::Say("450 4.2.1 mailbox busy"));
    let (hop, sender) = (bench.hop(FIRST, refuses), bench.hop(SENDER, Script::default()));
    let tried_id = bench.enqueue("a@sender.example", &["b@ours.example", "c@ours.example"], None).await;
    bench.enqueue("", &["b@ours.example"], None).await;
    bench.enqueue("a@sender.example", &["d@ours.example"], Some(Notify::Never)).await;
    bench.begin();
    let entries = bench.until("three attempts", |entries| entries.len() == 3 && tried(entries)).await;
    let delivery = bench.delivery.as_ref().unwrap();
    for entry in entries {
        assert_eq!(delivery.bounce(entry.id).await, Ok(true));
        assert!(matches!(delivery.bounce(entry.id).await, Err(StoreError::NotFound { .. })), "once only");
    }
    bench.until_empty().await;
    assert!(hop.mail().is_empty());
    let notices = sender.mail();
    assert_eq!(notices.len(), 1, "the null sender, and who wants no word, hear nothing");
    let text = String::from_utf8(notices[0].body.clone()).unwrap();
    for part in
        ["Final-Recipient: rfc822; b@", "Final-Recipient: rfc822; c@", "Action: failed", "Status: 5.0.0"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("given up by an administrator; the last reply was 450"), "{text}");
    bench.store.flush_events().await.unwrap();
    let query = store::log::Query { message: Some(tried_id), ..store::log::Query::default() };
    let log = bench.store.events(&query).unwrap();
    assert!(log.events.iter().any(|(_, event)| event.kind == "delivery.bounced"));
}

#[tokio::test]
async fn an_attempt_under_way_decides_before_the_administrator() {
    let mut bench = bench("");
    let _silent = bench.network.listen(FIRST.parse().unwrap());
    let id = bench.enqueue("a@sender.example", &["b@ours.example"], None).await;
    bench.begin();
    let opened = async {
        while bench.network.tried.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LATE, opened).await.expect("an attempt");
    let delivery = bench.delivery.as_ref().unwrap();
    assert_eq!(delivery.bounce(store::DeliveryId { message: id, number: 0 }).await, Ok(false));
    assert_eq!(bench.entries().len(), 1);
}
