//! Entra ID's login service and Microsoft Graph as far as a directory needs them: a developers' tool for tests.
//!
//! [`Tenant`] is the service, without sockets or clock; [`Entra`] gives it HTTPS on the loopback interface, with a
//! certificate of an authority made for the run. Its switches make it misbehave as Microsoft's do at times.

mod delta;
mod tenant;
mod token;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::{Doing, Error, Result};
pub use tenant::{Collection, Entry, Removed, Tenant, Trouble};

/// Longest body that is taken from a client.
const BODY_MAX: usize = 1 << 20;

/// What a client asks.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub authorization: Option<String>,
    /// `ConsistencyLevel: eventual` was there.
    pub eventual: bool,
    pub body: Vec<u8>,
}

/// What it gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Reply {
    fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }
}

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub struct Entra {
    address: SocketAddr,
    root: CertificateDer<'static>,
    tenant: Arc<Mutex<Tenant>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Entra {
    /// Listens on a free port of the loopback interface under `name`, and takes `prepare`d what is in the directory.
    ///
    /// # Errors
    /// When no port is free, or no certificate can be made.
    pub fn listen(name: &str, prepare: impl FnOnce(&mut Tenant)) -> Result<Entra> {
        Entra::listen_at((Ipv4Addr::LOCALHOST, 0).into(), name, prepare)
    }

    /// Listens at `address` under `name`, and takes `prepare`d what is in the directory.
    ///
    /// # Errors
    /// When the address is not free, or no certificate can be made.
    pub fn listen_at(address: SocketAddr, name: &str, prepare: impl FnOnce(&mut Tenant)) -> Result<Entra> {
        let (config, root) = tls(name).map_err(|error| Error::Certificate(error.to_string()))?;
        let doing = || "the directory: listen";
        let listener = std::net::TcpListener::bind(address).doing(doing)?;
        listener.set_nonblocking(true).doing(doing)?;
        let address = listener.local_addr().doing(doing)?;
        let mut tenant = Tenant::new(&format!("{name}:{}", address.port()));
        prepare(&mut tenant);
        let tenant = Arc::new(Mutex::new(tenant));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&tenant);
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = serve(listener, TlsAcceptor::from(config), serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Entra { address, root, tenant, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that signed its certificate.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The directory and its switches.
    pub fn tenant(&self) -> MutexGuard<'_, Tenant> {
        self.tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entra {
    fn drop(&mut self) {
        // Whoever serves is told so, unless it has ended by itself.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(listener: std::net::TcpListener, tls: TlsAcceptor, tenant: Arc<Mutex<Tenant>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, tenant) = (tls.clone(), Arc::clone(&tenant));
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            // A client that does not trust us, or goes, ends its connection only.
            let Ok(stream) = tls.accept(stream).await else { return };
            let answer = service_fn(|request| answer(request, Arc::clone(&tenant)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    tenant: Arc<Mutex<Tenant>>,
) -> std::result::Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let body = Limited::new(body, BODY_MAX).collect().await.map(|body| body.to_bytes().to_vec());
    let request = Request {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        authorization: field(AUTHORIZATION.as_str()).map(str::to_owned),
        eventual: field("ConsistencyLevel") == Some("eventual"),
        body: body.unwrap_or_default(),
    };
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let reply = tenant.lock().unwrap_or_else(PoisonError::into_inner).answer(&request, unix);
    let mut response = hyper::Response::builder().status(reply.status);
    for (name, value) in [(RETRY_AFTER, reply.retry_after), (LOCATION, reply.location)] {
        if let Some(value) = value {
            response = response.header(name, value);
        }
    }
    let body = Full::new(Bytes::from(reply.body));
    Ok(response.body(body).unwrap_or_default())
}

type Made = (Arc<ServerConfig>, CertificateDer<'static>);

/// An authority, and a server's certificate for `name` by it.
fn tls(name: &str) -> std::result::Result<Made, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((Arc::new(config), authority.der().clone()))
}

#[cfg(test)]
mod tests;
