//! Mail that waits for somebody to mend something, in virtual time, at Exchange Online as the double plays it.

use std::{collections::BTreeSet, sync::mpsc};

use image::exchange::{Break, Recipients, Refusal, Script, Tenant};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{hop::Script as Plain, office::Office, *};

const CANARY: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);

/// Time that moves only when it is told to: a task that the runtime waits for keeps it from moving by itself.
struct Still {
    end: Option<mpsc::Sender<()>>,
    _waiting: JoinHandle<()>,
}

impl Still {
    fn begin() -> Still {
        let (end, ended) = mpsc::channel::<()>();
        let waiting = spawn_blocking(move || {
            // The other end is dropped with the test.
            let _ = ended.recv();
        });
        Still { end: Some(end), _waiting: waiting }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.end.take();
    }
}

/// Lets the store and the tasks work, by the clock on the wall.
async fn work() {
    spawn_blocking(|| std::thread::sleep(Duration::from_millis(2))).await.unwrap();
}

struct Waiting {
    bench: Bench,
    office: Office,
    sender: Hop,
    _still: Still,
}

fn tenant(recipients: &[&str]) -> Tenant {
    let known: BTreeSet<String> = recipients.iter().map(|to| format!("{to}@ours.example")).collect();
    Tenant { domains: vec!["ours.example".into()], recipients: Recipients::Listed(known) }
}

impl Waiting {
    fn begin() -> Waiting {
        let still = Still::begin();
        let mut bench = bench("");
        let office = Office::listen(&bench.network, FIRST, tenant(&["b", "c"]));
        let sender = bench.hop(SENDER, Plain::default());
        bench.begin();
        Waiting { bench, office, sender, _still: still }
    }

    async fn send(&self, to: &str) {
        self.bench.enqueue("a@sender.example", &[&format!("{to}@ours.example")], None).await;
    }

    /// Waits, by the clock on the wall, until the queue looks as `wanted` says.
    async fn until(&self, what: &str, wanted: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
        let end = std::time::Instant::now() + LATE;
        loop {
            let entries = self.bench.entries();
            if wanted(&entries) {
                return entries;
            }
            assert!(std::time::Instant::now() < end, "not in time: {what}; the queue holds {entries:#?}");
            work().await;
        }
    }

    /// Lets minutes pass until nothing waits; the queue may lie down to sleep after any of them.
    async fn pass_until_empty(&self) {
        let end = std::time::Instant::now() + LATE;
        while !self.bench.entries().is_empty() {
            assert!(std::time::Instant::now() < end, "still in the queue: {:#?}", self.bench.entries());
            self.advance(Duration::from_secs(60)).await;
            work().await;
        }
    }

    async fn until_held(&self, count: usize, reason: HoldReason) -> Vec<Entry> {
        let held = |entry: &Entry| entry.hold.as_ref().is_some_and(|hold| hold.reason == reason);
        self.until("holds", |entries| entries.len() == count && entries.iter().all(held)).await
    }

    async fn until_empty(&self) {
        self.until("an empty queue", <[Entry]>::is_empty).await;
    }

    /// Waits until so many recipients have been asked for, and the attempt is on record.
    async fn until_asked(&self, count: usize) {
        let end = std::time::Instant::now() + LATE;
        while self.office.asked().len() < count
            || !self.bench.delivery.as_ref().unwrap().shared.state().is_calm()
        {
            assert!(
                std::time::Instant::now() < end,
                "{count} recipients are asked for: {:?}",
                self.office.asked()
            );
            work().await;
        }
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        // Whatever is due now has time to begin.
        for _ in 0..10 {
            work().await;
        }
    }

    fn alarms(&self) -> Vec<String> {
        self.bench.delivery.as_ref().unwrap().alarms()
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_configuration_holds_with_an_alarm_and_never_bounces() {
    for refusal in Refusal::CONFIGURATION {
        let waiting = Waiting::begin();
        waiting.office.play(Script { refuses: Some(refusal), ..Script::default() });
        waiting.send("b").await;
        waiting.until_held(1, HoldReason::Configuration).await;
        waiting.send("c").await;
        let entries = waiting.until_held(2, HoldReason::Configuration).await;
        let alarms = waiting.alarms();
        assert_eq!(alarms.len(), 1, "{refusal:?}: {alarms:?}");
        assert!(alarms[0].starts_with("mail for ours.example waits since "), "{alarms:?}");

        // Twice as long as mail lives.
        waiting.advance(240 * HOUR).await;
        waiting.until("a canary", |now| now.iter().map(|entry| entry.attempts).sum::<u32>() == 2).await;
        let later = waiting.until_held(2, HoldReason::Configuration).await;
        assert!(waiting.sender.mail().is_empty(), "{refusal:?}: nobody was told anything");
        assert!(later[0].expires.since(entries[0].expires) >= 239 * HOUR, "no clock runs against it");

        waiting.office.play(Script::default());
        waiting.advance(CANARY).await;
        waiting.until_empty().await;
        assert_eq!(waiting.office.received().len(), 2, "{refusal:?}");
        assert_eq!(waiting.alarms(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_canary_goes_out_every_ten_minutes() {
    let waiting = Waiting::begin();
    waiting.office.play(Script { refuses: Some(Refusal::BadConnector), ..Script::default() });
    waiting.send("b").await;
    waiting.until_held(1, HoldReason::Configuration).await;
    for _ in 0..4 {
        waiting.send("c").await;
    }
    waiting.until_held(5, HoldReason::Configuration).await;
    for asked in 1..6 {
        assert_eq!(waiting.office.asked().len(), asked, "{:?}", waiting.office.asked());
        waiting.advance(CANARY - Duration::from_secs(5)).await;
        assert_eq!(waiting.office.asked().len(), asked, "nothing goes out before its time");
        waiting.advance(Duration::from_secs(6)).await;
        waiting.until_asked(asked + 1).await;
        waiting.until_held(5, HoldReason::Configuration).await;
    }
    assert!(waiting.office.asked().iter().all(|to| to.starts_with("<b@")), "it is always the same one");
}

#[tokio::test(start_paused = true)]
async fn another_cause_is_another_alarm() {
    let waiting = Waiting::begin();
    waiting.office.play(Script { refuses: Some(Refusal::ConnectorNotMatched), ..Script::default() });
    waiting.send("b").await;
    waiting.until_held(1, HoldReason::Configuration).await;
    assert!(waiting.alarms()[0].contains("TenantInboundAttribution"), "{:?}", waiting.alarms());
    waiting.office.play(Script { refuses: Some(Refusal::BannedAddress), ..Script::default() });
    waiting.advance(CANARY).await;
    waiting.until_asked(2).await;
    let alarms = waiting.alarms();
    assert!(alarms.len() == 1 && alarms[0].contains("banned sending IP"), "{alarms:?}");
    waiting.bench.store.flush_events().await.unwrap();
    let query = store::log::Query { kind: Some("delivery.destination-held".into()), ..Default::default() };
    assert_eq!(waiting.bench.store.events(&query).unwrap().events.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_directory_out_of_step_holds_the_domain_and_asks_for_another_each_time() {
    let waiting = Waiting::begin();
    for to in ["b", "c"] {
        waiting.send(to).await;
    }
    waiting.until_empty().await;
    waiting.advance(HOUR).await;
    waiting.office.play(Script { out_of_step: true, ..Script::default() });
    waiting.send("b").await;
    waiting.until_held(1, HoldReason::Breaker).await;
    waiting.send("c").await;
    waiting.until_held(2, HoldReason::Breaker).await;
    assert!(waiting.alarms()[0].contains("is its directory out of step?"), "{:?}", waiting.alarms());
    waiting.advance(CANARY).await;
    waiting.until_asked(4).await;
    assert!(waiting.office.asked()[3].starts_with("<c@"), "{:?}", waiting.office.asked());
    waiting.until_held(2, HoldReason::Breaker).await;
    waiting.office.play(Script::default());
    waiting.advance(CANARY).await;
    waiting.until_empty().await;
    assert_eq!(waiting.office.received().len(), 4);
    assert!(waiting.sender.mail().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_recipient_who_is_gone_does_not_hold_the_domain_for_long() {
    let waiting = Waiting::begin();
    for to in ["b", "c"] {
        waiting.send(to).await;
    }
    waiting.until_empty().await;
    waiting.advance(HOUR).await;
    waiting.office.become_now(tenant(&["c"]));
    waiting.send("b").await;
    waiting.until_held(1, HoldReason::Breaker).await;
    waiting.send("c").await;
    waiting.until_held(2, HoldReason::Breaker).await;
    // The second canary is for the other, who is there: now the refusal counts.
    waiting.advance(CANARY).await;
    waiting.until_empty().await;
    assert_eq!(waiting.office.received().len(), 3);
    assert_eq!(waiting.sender.mail().len(), 1, "b's sender is told");
}

#[tokio::test(start_paused = true)]
async fn a_good_address_is_refused_twice_before_its_sender_is_told() {
    let waiting = Waiting::begin();
    for to in ["b", "c"] {
        waiting.send(to).await;
    }
    waiting.until_empty().await;
    waiting.office.become_now(tenant(&["c"]));
    waiting.send("b").await;
    let first = waiting.until("a first look", tried).await;
    assert!(first[0].hold.is_none() && waiting.sender.mail().is_empty());
    let wait = first[0].next_attempt.since(waiting.bench.appliance.clock.now());
    assert!(wait > CANARY - Duration::from_secs(5) && wait <= CANARY, "{wait:?}");
    waiting.advance(CANARY).await;
    waiting.until_empty().await;
    assert_eq!(waiting.sender.mail().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_is_tried_again_and_raises_no_alarm() {
    for script in [
        Script { refuses: Some(Refusal::Busy), ..Script::default() },
        Script { breaks: Some(Break::AfterTls), ..Script::default() },
        Script { breaks: Some(Break::MidData), ..Script::default() },
        Script { breaks: Some(Break::BeforeFinalReply), ..Script::default() },
        Script { busy_after: Some(0), ..Script::default() },
    ] {
        let waiting = Waiting::begin();
        waiting.office.play(script.clone());
        waiting.send("b").await;
        let entries = waiting.until("an attempt", tried).await;
        assert!(entries[0].hold.is_none() && waiting.alarms().is_empty(), "{script:?}");
        waiting.office.play(Script::default());
        waiting.pass_until_empty().await;
        assert_eq!(waiting.office.received().len(), 1, "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_limited_for_an_hour_is_said() {
    let waiting = Waiting::begin();
    waiting.office.play(Script { busy_after: Some(0), ..Script::default() });
    waiting.send("b").await;
    let entries = waiting.until("an attempt", tried).await;
    assert!(entries[0].hold.is_none() && waiting.bench.appliance.alarms.lines().is_empty());
    let end = std::time::Instant::now() + LATE;
    while waiting.bench.appliance.alarms.lines().is_empty() {
        assert!(std::time::Instant::now() < end, "nothing is said");
        waiting.advance(Duration::from_secs(60)).await;
        work().await;
    }
    let alarms = waiting.bench.appliance.alarms.lines();
    assert!(alarms[0].contains("no connector of the tenant matches our address"), "{alarms:?}");
    waiting.office.play(Script::default());
    waiting.pass_until_empty().await;
    waiting.advance(HOUR).await;
    waiting.send("b").await;
    waiting.until_empty().await;
    assert_eq!(waiting.bench.appliance.alarms.lines(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn more_recipients_than_one_transaction_takes_go_in_several() {
    let waiting = Waiting::begin();
    waiting
        .office
        .become_now(Tenant { domains: vec!["ours.example".into()], recipients: Recipients::Everybody });
    let to: Vec<String> = (0..450).map(|n| format!("r{n}@ours.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    waiting.bench.enqueue("a@sender.example", &to, None).await;
    waiting.until_empty().await;
    let received = waiting.office.received();
    assert_eq!(received.iter().map(|mail| mail.recipients.len()).sum::<usize>(), 450);
    assert!(received.iter().all(|mail| mail.tls && mail.recipients.len() <= 100));
}
