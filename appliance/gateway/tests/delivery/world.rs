//! An appliance whose network is the loopback interface: documentation addresses lead to listeners of the test.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use config_schema::Config;
use gateway::{
    appliance::Appliance,
    clock::Clock,
    delivery::{self, Delivery},
    dns::{Resolver, Settings},
    recipient,
    transport::{Boxed, ConnectFault, Datagrams, Stream, Transport},
};
use smtp::{
    address::{ForwardPath, ReversePath},
    envelope::{MailParameters, RcptParameters},
};
use store::{
    Store,
    log::{Event, Query},
    message::{Envelope, NewMessage, Recipient, Source},
    queue::NewDelivery,
    testing::MemoryDisk,
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::watch,
};

/// What a test waits for at most; no test passes by it.
const PATIENCE: Duration = Duration::from_secs(60);
const BODY: &[u8] = b"Subject: hello\r\nFrom: a@sender.example\r\n\r\nline\r\n";

pub(crate) struct World {
    store: Store,
    appliance: Appliance,
    delivery: Delivery,
    // The configuration is in force as long as somebody could change it.
    _config: watch::Sender<Arc<Config>>,
}

impl World {
    /// Delivers by `resolver`, to the listener that `hosts` names for an address.
    pub(crate) fn new(domains: &str, resolver: Settings, hosts: HashMap<IpAddr, SocketAddr>) -> World {
        let text = format!(
            "version = 1\n[network]\nhostname = \"gate.example.net\"\naddress = \"dhcp\"\n\
             [[realm]]\nname = \"r\"\n{domains}"
        );
        let config = Config::parse("test.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let store = Store::open(Arc::new(MemoryDisk::new(64 << 20)), store::Limits::default()).unwrap();
        let (sender, config) = watch::channel(Arc::new(config));
        let appliance = Appliance::new(store.clone(), config, Clock::system());
        let transport: Arc<dyn Transport> = Arc::new(Loopback { hosts });
        let resolver = Resolver::new(transport.clone(), resolver);
        let delivery = delivery::start(appliance.clone(), transport, resolver);
        delivery.set_addresses(vec!["192.0.2.10".parse().unwrap()]);
        World { store, appliance, delivery, _config: sender }
    }

    /// Enqueues a message and returns the last event about it of one of these kinds.
    pub(crate) async fn send(&self, to: &str, kinds: &[&str]) -> Event {
        let now = self.appliance.clock.now();
        let mut writer = self.store.begin(now).unwrap();
        if let Some(pending) = writer.write(BODY).unwrap() {
            pending.await.unwrap();
        }
        let path = ForwardPath::parse(&format!("<{to}>")).unwrap();
        let recipient = Recipient::new(path, RcptParameters::default());
        let destination = recipient::destination(recipient.to.address().unwrap().host());
        let delivery = NewDelivery {
            destination,
            recipients: vec![recipient],
            next_attempt: now,
            expires: now.after(Duration::from_secs(432_000)),
        };
        let message = NewMessage {
            envelope: Envelope {
                from: ReversePath::parse("<a@sender.example>").unwrap(),
                parameters: MailParameters::default(),
            },
            source: Source::Local { about: None },
            received_at: now,
            deliveries: vec![delivery],
            events: vec![],
            streams: vec![],
        };
        let id = writer.commit(message).await.unwrap().id;
        self.appliance.queued.notify_one();
        let end = Instant::now() + PATIENCE;
        loop {
            self.store.flush_events().await.unwrap();
            let query = Query { message: Some(id), ..Query::default() };
            // The newest comes first.
            let mut found = self.store.events(&query).unwrap().events.into_iter().map(|(_, event)| event);
            if let Some(event) = found.find(|event| kinds.contains(&&*event.kind)) {
                return event;
            }
            assert!(Instant::now() < end, "none of {kinds:?} happened to the mail for {to}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn end(self) {
        self.delivery.stop(PATIENCE).await;
    }
}

/// The value of an event's field.
pub(crate) fn field(event: &Event, name: &str) -> String {
    let found = event.fields.iter().find(|(known, _)| &**known == name);
    found.map(|(_, value)| value.to_string()).unwrap_or_default()
}

#[derive(Default)]
pub(crate) struct Loopback {
    hosts: HashMap<IpAddr, SocketAddr>,
}

impl Transport for Loopback {
    fn connect(&self, to: SocketAddr, _deadline: Duration) -> Boxed<'_, Result<Stream, ConnectFault>> {
        let at = self.hosts.get(&to.ip()).copied().or(to.ip().is_loopback().then_some(to));
        Box::pin(async move {
            let at = at.ok_or(ConnectFault::Unreachable)?;
            let stream = TcpStream::connect(at).await.map_err(|_| ConnectFault::Refused)?;
            let local = stream.local_addr().map_err(|error| ConnectFault::Ours(error.to_string()))?;
            Ok(Stream { io: Box::new(stream), local, peer: to })
        })
    }

    fn udp(&self, to: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Datagrams>>> {
        Box::pin(async move {
            assert!(to.ip().is_loopback(), "a test asks nobody else");
            let socket = UdpSocket::bind("127.0.0.1:0").await?;
            socket.connect(to).await?;
            Ok(Box::new(Flow(socket)) as Box<dyn Datagrams>)
        })
    }
}

struct Flow(UdpSocket);

impl Datagrams for Flow {
    fn send<'a>(&'a self, datagram: &'a [u8]) -> Boxed<'a, io::Result<()>> {
        Box::pin(async move { self.0.send(datagram).await.map(drop) })
    }

    fn recv<'a>(&'a self, into: &'a mut [u8]) -> Boxed<'a, io::Result<usize>> {
        Box::pin(self.0.recv(into))
    }
}
