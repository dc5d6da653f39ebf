//! An HTTPS client over the gateway's own network: one question at a time, no redirects, everything bounded.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use config_schema::{Config, user_lookup::entra_id::WebHost};
use directory::http::{Failure, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Bytes, Incoming},
    client::conn::http1::{Builder, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    dns::{Lookup, Resolver},
    tls::{
        client::{Check, TlsClient},
        roots,
    },
    transport::Transport,
};

/// Time for the connection to one address.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// Time for the whole answer.
const ANSWER: Duration = Duration::from_secs(120);
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Connections that are kept: a login host's and a directory's.
const KEPT_MAX: usize = 2;
/// Bytes of a header section; one that is longer breaks the answer off.
const HEADER_MAX: usize = 64 << 10;
/// Fields of a header section.
const FIELDS_MAX: usize = 100;

/// Asks, and keeps the connections open for the next question.
pub struct Client {
    transport: Arc<dyn Transport>,
    resolver: Resolver,
    tls: TlsClient,
    kept: Vec<Connection>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

/// An open connection, with the task that moves its bytes.
struct Connection {
    host: WebHost,
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection came to, when it was no answer.
struct Lost {
    failure: Failure,
    /// Asking once more on a fresh connection does no harm.
    again: bool,
}

impl Client {
    /// Believes Mozilla's roots and those of the configuration.
    pub fn new(transport: Arc<dyn Transport>, resolver: Resolver, config: &Config) -> Client {
        Client { transport, resolver, tls: tls(config), kept: Vec::new() }
    }

    /// Closes the connections, as before a longer silence.
    pub fn close(&mut self) {
        self.kept.clear();
    }

    /// Asks, and reads the answer whole.
    ///
    /// # Errors
    /// Whatever is no answer. A status that tells of an error is an answer.
    pub async fn ask(&mut self, request: &Request) -> Result<Response, Failure> {
        let kept = self.kept.iter().position(|kept| kept.host == request.host);
        let kept = kept.map(|at| self.kept.swap_remove(at)).filter(|kept| !kept.sender.is_closed());
        if let Some(connection) = kept {
            match self.ask_on(connection, request).await {
                Ok(response) => return Ok(response),
                Err(lost) if lost.again => {}
                Err(lost) => return Err(lost.failure),
            }
        }
        let connection = self.connect(&request.host).await?;
        self.ask_on(connection, request).await.map_err(|lost| lost.failure)
    }

    async fn ask_on(&mut self, mut connection: Connection, request: &Request) -> Result<Response, Lost> {
        let exchange = exchange(&mut connection.sender, request);
        let timed_out = Lost { failure: Failure::Timeout(ANSWER.as_secs()), again: false };
        let response = timeout(ANSWER, exchange).await.unwrap_or(Err(timed_out))?;
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push(connection);
        Ok(response)
    }

    async fn connect(&self, host: &WebHost) -> Result<Connection, Failure> {
        let unreachable = |why: String| Failure::Unreachable { host: host.clone(), why: why.into() };
        let mut last = unreachable("it has no address".into());
        for address in self.addresses(host).await.map_err(unreachable)? {
            match self.transport.connect(address, CONNECT).await {
                Ok(stream) => return self.shake_hands(host, stream.io).await,
                Err(fault) => last = unreachable(format!("{address}: {fault}")),
            }
        }
        Err(last)
    }

    /// The host's addresses, IPv4 first.
    async fn addresses(&self, host: &WebHost) -> Result<Vec<SocketAddr>, String> {
        let (v4, v6) = tokio::join!(self.resolver.ipv4(&host.name), self.resolver.ipv6(&host.name));
        if let (Err(why), Err(_)) = (&v4, &v6) {
            return Err(why.to_string());
        }
        let found = [v4, v6].into_iter().flatten().filter_map(|lookup| match lookup {
            Lookup::Found(found) => Some(found.records),
            _ => None,
        });
        Ok(found.flatten().map(|address| SocketAddr::new(address, host.port)).take(ADDRESSES_MAX).collect())
    }

    async fn shake_hands(
        &self,
        host: &WebHost,
        io: Box<dyn crate::transport::ByteStream>,
    ) -> Result<Connection, Failure> {
        let failure = |why: String| Failure::Tls { host: host.clone(), why: why.into() };
        let handshake = self.tls.handshake(&Check::Name);
        let name = ServerName::try_from(host.name.as_str().to_owned());
        let name = name.map_err(|why| failure(why.to_string()))?;
        let connector = TlsConnector::from(handshake.config.clone());
        let stream = match timeout(HANDSHAKE, connector.connect(name, io)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => {
                return Err(failure(handshake.refusal().map_or_else(|| why.to_string(), str::to_owned)));
            }
            Err(_) => return Err(failure(format!("no handshake within {} s", HANDSHAKE.as_secs()))),
        };
        let (sender, connection) = Builder::new()
            .max_buf_size(HEADER_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|why| Failure::Broken(why.to_string().into()))?;
        // How it ends is seen by whoever waits for an answer.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { host: host.clone(), sender, task })
    }
}

fn tls(config: &Config) -> TlsClient {
    let certificates = config.tls.roots.iter().flat_map(|pem| {
        CertificateDer::pem_slice_iter(pem.as_str().as_bytes()).flatten().collect::<Vec<_>>()
    });
    TlsClient::new(roots::for_web(certificates), false)
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: &Request) -> Result<Response, Lost> {
    let asked = to_hyper(request).map_err(|failure| Lost { failure, again: false })?;
    let lost = |why: hyper::Error| Lost {
        // What was not sent, or only asks, may be sent again.
        again: why.is_canceled() || (request.body.is_none() && !why.is_parse()),
        failure: Failure::Broken(why.to_string().into()),
    };
    sender.ready().await.map_err(lost)?;
    let response = sender.send_request(asked).await.map_err(lost)?;
    if octets(response.headers()) > HEADER_MAX {
        let why = format!("its header section has more than {HEADER_MAX} bytes");
        return Err(Lost { failure: Failure::Broken(why.into()), again: false });
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(Box::from);
    let status = response.status().as_u16();
    let body = read(response.into_body(), request.answer_max).await;
    let body = body.map_err(|failure| Lost { failure, again: false })?;
    Ok(Response { status, retry_after, body })
}

/// Of a header section. The client's own limit holds only while it waits for more: a section that came with what its
/// buffer had room for is taken, and then a body without an end may be waited for.
fn octets(fields: &HeaderMap) -> usize {
    // With `: ` and the end of the line.
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn to_hyper(request: &Request) -> Result<hyper::Request<Full<Bytes>>, Failure> {
    let ours = |why: &dyn std::fmt::Display| Failure::Ours(why.to_string().into());
    let method = if request.body.is_some() { "POST" } else { "GET" };
    let mut asked = hyper::Request::builder()
        .method(method)
        .uri(request.target.as_str())
        .header(HOST, request.host.to_string())
        .header(USER_AGENT, concat!("Postern/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = &request.bearer {
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|why| ours(&why))?;
        value.set_sensitive(true);
        asked = asked.header(AUTHORIZATION, value);
    }
    for (name, value) in &request.headers {
        asked = asked.header(*name, *value);
    }
    let content = match &request.body {
        Some(body) => {
            asked = asked.header(CONTENT_TYPE, body.kind);
            Bytes::copy_from_slice(body.content.expose().as_bytes())
        }
        None => Bytes::new(),
    };
    asked.body(Full::new(content)).map_err(|why| ours(&why))
}

async fn read(mut body: Incoming, most: usize) -> Result<Vec<u8>, Failure> {
    // What is announced is believed as far as it is allowed, so that memory is taken once.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(Failure::TooLong(most));
    }
    let mut whole = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|why| Failure::Broken(why.to_string().into()))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > most {
            return Err(Failure::TooLong(most));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole)
}
