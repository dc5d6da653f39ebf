//! Verification server, directory and power fail in any order, while mail flows: whoever is real is never refused for
//! good, and nobody is taken who had been known not to exist.

use std::hash::{BuildHasher, Hasher, RandomState};

use image::exchange::{Break, Exchange, Recipients, Refusal, Script, Tenant};

use crate::{
    certificates::Authority,
    configuration::{ROOMY, with_domains},
    dialogue::send_to,
    lab::{Appliance, HOST, Lab, wait_for},
    requirements::available,
    slapd::{LDAPS, Slapd, entry},
};

const PORT: u16 = 2526;
const STEPS: usize = 60;
const REAL: [&str; 2] = ["ann@example.com", "ann@example.net"];
const NOBODY: [&str; 2] = ["nobody@example.com", "nobody@example.net"];

/// What fails, or works again.
#[derive(Debug, Clone, Copy)]
enum Step {
    ServerBreaks,
    ServerIsBusy,
    ServerWorks,
    DirectoryEnds,
    DirectoryRuns,
    PowerCut,
}

const ALL: [Step; 6] = [
    Step::ServerBreaks,
    Step::ServerIsBusy,
    Step::ServerWorks,
    Step::DirectoryEnds,
    Step::DirectoryRuns,
    Step::PowerCut,
];

struct Scene {
    lab: Lab,
    configuration: String,
    exchange: Exchange,
    slapd: Slapd,
    appliance: Option<Appliance>,
}

impl Scene {
    fn new() -> Scene {
        let lab = Lab::new();
        let authority = Authority::new();
        let person = |name: &str| entry(name, "user", &[("mail", &format!("{name}@example.net"))]);
        let slapd = Slapd::start(&lab, &authority.site(), &person("ann"));
        let exchange = lab.inside(|| Exchange::listen((HOST, PORT).into(), tenant()).unwrap());
        let mut scene =
            Scene { configuration: configuration(&authority), lab, exchange, slapd, appliance: None };
        scene.power_on();
        scene
    }

    fn power_on(&mut self) {
        // What runs is killed first, as the power's loss would end it.
        self.appliance = None;
        self.appliance = Some(self.lab.start(&self.configuration));
    }

    fn take(&mut self, step: Step) {
        let play = |script| self.exchange.organisation().play(script);
        match step {
            Step::ServerBreaks => play(Script { breaks: Some(Break::AfterTls), ..Script::default() }),
            Step::ServerIsBusy => play(Script { refuses: Some(Refusal::Busy), ..Script::default() }),
            Step::ServerWorks => play(Script::default()),
            Step::DirectoryEnds => self.slapd.kill(),
            Step::DirectoryRuns => self.slapd.restart(&self.lab),
            Step::PowerCut => self.power_on(),
        }
    }
}

/// Everybody of the tenant and of its neighbour's domain takes mail; only the first tells who is real.
fn tenant() -> Tenant {
    let domains = ["example.com", "example.net"].map(str::to_owned).into();
    Tenant { domains, recipients: Recipients::Listed(REAL.map(str::to_owned).into()) }
}

fn configuration(authority: &Authority) -> String {
    // Known, so that whoever asks after so many unknown recipients is neither slowed nor banned.
    let known = format!("[[known-network]]\nname = \"lab\"\nnetwork = \"{HOST}\"\n");
    let domains = [("example.com", PORT), ("example.net", PORT)];
    let lookup = format!(
        "mapping = \"corp\"\n[[user-lookup]]\nname = \"corp\"\nmethod = \"ldap\"\npreset = \"ad-email\"\n\
         servers = [\"[{HOST}]:{LDAPS}\"]\nbase = \"dc=example,dc=com\"\nbind-dn = \"cn=reader,dc=example,dc=com\"\n\
         bind-password = \"reader-secret\"\ntime-limit = \"1 s\"\n"
    );
    let server = format!("name = \"example.com\"\nverification-server = \"[{HOST}]:{PORT}\"");
    let probes = "[recipients]\nprobe-time = \"1 s\"\n";
    let text = with_domains(&domains, &format!("{ROOMY}{probes}{known}{}", authority.trusted()));
    text.replace("name = \"example.com\"", &server) + &lookup
}

#[test]
fn in_any_order_refuse_nobody_who_is_real_and_let_in_nobody_else() {
    if !available(&["slapd"]) {
        return;
    }
    let mut scene = Scene::new();
    // A busy machine may be slower than the questions' deadlines at first.
    let all = |addresses: &[&str], code: &str| {
        send_to(&scene.lab, addresses).iter().all(|reply| reply.starts_with(code)).then_some(())
    };
    wait_for("who is real is known", || all(&REAL, "250"));
    wait_for("who is not is known", || all(&NOBODY, "550 5.1.1"));
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        let chance = usize::try_from(RandomState::new().build_hasher().finish() % ALL.len() as u64).unwrap();
        steps.push(ALL[chance]);
        scene.take(ALL[chance]);
        for (address, reply) in REAL.iter().zip(send_to(&scene.lab, &REAL)) {
            assert!(!reply.starts_with('5'), "{address}: {reply} after {steps:?}");
        }
        for (address, reply) in NOBODY.iter().zip(send_to(&scene.lab, &NOBODY)) {
            assert!(!reply.starts_with('2'), "{address}: {reply} after {steps:?}");
        }
    }
}
