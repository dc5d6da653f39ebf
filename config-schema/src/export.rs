//! Writes a configuration as a file that reads back as the same configuration.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use crate::{
    AddressMapping, Addressing, Administrator, Config, Domain, KnownNetwork, Mapping, Network, Realm,
    RealmStream, Setting, Tls, VERSION, VerificationServer,
    realm::RealmName,
    route,
    secret::{SealError, Sealing, SecretMode},
    setting::SettingValue,
    tls::Identity,
    user, user_lookup,
    verification_server::EVERY,
    words::Words,
};

impl Config {
    /// The configuration as a file that [`Config::parse`] reads as the same configuration. What has its default is
    /// left out.
    ///
    /// # Errors
    /// Only [`SecretMode::Sealed`] can fail: by a passphrase that is too short, or by a system without random
    /// bytes.
    pub fn export(&self, secrets: &SecretMode) -> Result<String, SealError> {
        Ok(self.document(secrets)?.to_string())
    }

    pub(crate) fn document(&self, secrets: &SecretMode) -> Result<DocumentMut, SealError> {
        let mut sealing = Sealing::new(secrets)?;
        let mut document = DocumentMut::new();
        document.insert("version", value(VERSION.cast_signed()));
        document.insert("network", network(&self.network).into());
        put_all(&mut document, "realm", self.realms.iter().map(|one| realm(one, &mut sealing)));
        let lookups = self.user_lookups.iter().map(|lookup| user_lookup::write(lookup, &mut sealing));
        put_all(&mut document, "user-lookup", lookups);
        put_all(&mut document, "domain", self.domains.iter().map(domain));
        let servers = self.verification_servers.iter().map(verification_server);
        put_all(&mut document, "verification-server", servers);
        put_all(&mut document, "address-mapping", self.address_mappings.iter().map(address_mapping));
        put_all(&mut document, "known-network", self.known_networks.iter().map(known_network));
        put(&mut document, "tls", tls(&self.tls, &mut sealing));
        let (mut limits, mut tcp, mut delivery, mut time) =
            (Table::new(), Table::new(), Table::new(), Table::new());
        self.limits.write(&mut limits);
        self.tcp.write(&mut tcp);
        if !tcp.is_empty() {
            limits.insert("tcp", Item::Table(tcp));
        }
        put(&mut document, "limits", limits);
        let (mut recipients, mut provisioning) = (Table::new(), Table::new());
        self.recipients.write(&mut recipients);
        word(&mut recipients, "probe-sender", self.probe_sender);
        put(&mut document, "recipients", recipients);
        self.provisioning.write(&mut provisioning);
        put(&mut document, "provisioning", provisioning);
        self.delivery.write(&mut delivery);
        put(&mut document, "delivery", delivery);
        texts(&mut time, "servers", &self.time_servers);
        put(&mut document, "time", time);
        let administrators = self.administrators.iter().map(|who| administrator(who, &mut sealing));
        put_all(&mut document, "administrator", administrators);
        let users = self.users.iter().map(|user| user::write(user, &mut sealing));
        put_all(&mut document, "user", users);
        sealing.finish()?;
        Ok(document)
    }
}

fn put(document: &mut DocumentMut, key: &str, table: Table) {
    if !table.is_empty() {
        document.insert(key, Item::Table(table));
    }
}

fn put_all(table: &mut Table, key: &str, tables: impl Iterator<Item = Table>) {
    let tables: ArrayOfTables = tables.collect();
    if !tables.is_empty() {
        table.insert(key, Item::ArrayOfTables(tables));
    }
}

/// A list of texts, left out when it is empty.
fn texts<T: ToString>(table: &mut Table, key: &str, items: &[T]) {
    if !items.is_empty() {
        let array: Array = items.iter().map(T::to_string).collect();
        table.insert(key, value(array));
    }
}

/// A value, left out when it is the default.
fn unless<T: PartialEq>(table: &mut Table, key: &str, given: &T, usual: &T, text: impl FnOnce(&T) -> Value) {
    if given != usual {
        table.insert(key, value(text(given)));
    }
}

fn word<T: Words>(table: &mut Table, key: &str, given: T) {
    unless(table, key, &given, &T::default(), |given| given.word().into());
}

fn network(network: &Network) -> Table {
    let mut table = Table::new();
    table.insert("hostname", value(network.hostname.as_str()));
    match &network.addressing {
        Addressing::Dhcp => {
            table.insert("address", value("dhcp"));
        }
        Addressing::Static { addresses, gateways } => {
            texts(&mut table, "address", addresses);
            texts(&mut table, "gateway", gateways);
        }
    }
    texts(&mut table, "dns", &network.dns);
    unless(&mut table, "dns-validates", &network.dns_validates, &false, |validates| (*validates).into());
    table
}

fn realm(realm: &Realm, sealing: &mut Sealing) -> Table {
    let mut table = Table::new();
    table.insert("name", value(realm.name.as_str()));
    unless(&mut table, "parent", &realm.parent, &RealmName::base(), |parent| parent.as_str().into());
    unless(&mut table, "suspended", &realm.suspended, &false, |suspended| (*suspended).into());
    if let Some(client) = &realm.client {
        let mut shown = Table::new();
        identity(&mut shown, client, sealing);
        table.insert("client", Item::Table(shown));
    }
    texts(&mut table, "valid-recipients", &realm.valid_recipients);
    settings(&mut table, &realm.settings);
    put_all(&mut table, "stream", realm.streams.iter().map(stream));
    table
}

fn stream(stream: &RealmStream) -> Table {
    let mut table = Table::new();
    table.insert("name", value(stream.name.name()));
    texts(&mut table, "valid-recipients", &stream.valid_recipients);
    settings(&mut table, &stream.settings);
    table
}

fn settings(table: &mut Table, settings: &[Setting]) {
    let settings = settings.iter().map(|setting| {
        let mut table = Table::new();
        table.insert("id", value(format!("S-{}", setting.id)));
        let given = match &setting.value {
            SettingValue::Switch(given) => value(*given),
            SettingValue::Number(given) => value(*given),
            SettingValue::Score(given) => value(*given),
        };
        table.insert("value", given);
        table
    });
    put_all(table, "setting", settings);
}

fn domain(domain: &Domain) -> Table {
    let mut table = Table::new();
    table.insert("name", value(domain.name.as_str()));
    table.insert("realm", value(domain.realm.as_str()));
    table.insert("route", value(route::write_list(&domain.route)));
    if let Some(server) = &domain.verification_server {
        table.insert("verification-server", value(server.to_string()));
    }
    unless(&mut table, "mapping", &domain.mapping, &Mapping::AsIs, |mapping| mapping.as_str().into());
    word(&mut table, "unlisted", domain.unlisted);
    word(&mut table, "plus-addresses", domain.plus_addresses);
    if let Some(lookup) = &domain.authentication {
        table.insert("authentication", value(lookup.as_str()));
    }
    word(&mut table, "delivery", domain.profile);
    word(&mut table, "tls", domain.tls);
    table
}

fn verification_server(server: &VerificationServer) -> Table {
    let mut table = Table::new();
    table.insert("domain", value(server.domain.as_ref().map_or(EVERY, |domain| domain.as_str())));
    table.insert("server", value(server.server.to_string()));
    table
}

fn address_mapping(mapping: &AddressMapping) -> Table {
    let mut table = Table::new();
    table.insert("address", value(mapping.address.as_str()));
    table.insert("stream", value(mapping.stream.to_string()));
    table
}

fn known_network(known: &KnownNetwork) -> Table {
    let mut table = Table::new();
    unless(&mut table, "name", &known.name, &String::new(), |name| name.as_str().into());
    texts(&mut table, "network", &known.networks);
    unless(&mut table, "relay", &known.relay, &false, |relay| (*relay).into());
    if let Some(stream) = &known.stream {
        table.insert("stream", value(stream.to_string()));
    }
    table
}

fn identity(table: &mut Table, identity: &Identity, sealing: &mut Sealing) {
    table.insert("certificate", value(identity.certificate.as_str()));
    table.insert("key", value(sealing.value(&identity.key)));
}

fn tls(tls: &Tls, sealing: &mut Sealing) -> Table {
    let mut table = Table::new();
    if let Some(own) = &tls.identity {
        identity(&mut table, own, sealing);
    }
    word(&mut table, "min-version", tls.min_version);
    let roots: Vec<&str> = tls.roots.iter().map(|root| root.as_str()).collect();
    texts(&mut table, "roots", &roots);
    table
}

fn administrator(who: &Administrator, sealing: &mut Sealing) -> Table {
    let mut table = Table::new();
    table.insert("name", value(who.name.as_str()));
    table.insert("password-hash", value(sealing.value(&who.password_hash)));
    unless(&mut table, "read-only", &who.read_only, &false, |read_only| (*read_only).into());
    table
}
