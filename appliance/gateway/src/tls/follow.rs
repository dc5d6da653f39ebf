//! Keeps what we show in step with the configuration and the calendar.

use std::time::Duration;

use config_schema::{Config, TlsVersion};
use store::log::FaultClass;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::expiry::Expiry;
use super::identity::{Identity, IdentityError};
use super::server::{ServerTls, TlsSettings};
use crate::appliance::Appliance;
use crate::event::Kind;
use crate::startup;

/// How often a certificate of our own is looked at: it is renewed a month before its time.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Shows what the configuration says from now on, until the appliance ends. What cannot be shown is said in an
/// event, and our own certificate, or the one before, is shown in its place.
pub async fn follow(mut appliance: Appliance, tls: ServerTls) {
    let mut expiry = Expiry::default();
    loop {
        let config = appliance.config.borrow_and_update().clone();
        if let Err(error) = show(&appliance, &tls, &config).await {
            complain(&appliance, &error);
        }
        expiry.look(&appliance, &config);
        if let Ok(Err(_)) = timeout(LOOKED_AT_EVERY, appliance.config.changed()).await {
            return;
        }
    }
}

async fn show(appliance: &Appliance, tls: &ServerTls, config: &Config) -> Result<(), FollowError> {
    let settings = settings(config);
    if let Some(configured) = &config.tls.identity {
        let shown = Identity::from_pem(configured.certificate.as_str(), configured.key.expose())
            .and_then(|identity| tls.show(identity, settings));
        match shown {
            Ok(()) => return Ok(()),
            Err(error) => complain(appliance, &error),
        }
    }
    let (store, clock, own) = (appliance.store.clone(), appliance.clock.clone(), config.clone());
    // It may make a key and wait for the disk.
    let own = spawn_blocking(move || startup::identity(&store, &clock, &own)).await??;
    Ok(tls.show(own.identity(), settings)?)
}

/// Why our own certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Start(#[from] startup::StartError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the renewal ended early: {0}")]
    Renewal(#[from] tokio::task::JoinError),
}

fn complain(appliance: &Appliance, error: &dyn std::fmt::Display) {
    let event = appliance.events.event(Kind::CertificateUnusable).fault(FaultClass::Configuration);
    appliance.events.record(event.field("why", error));
}

fn settings(config: &Config) -> TlsSettings {
    TlsSettings {
        handshake_time: config.limits.tls_handshake_time.duration(),
        handshakes_per_second: config.limits.tls_handshakes_per_second,
        only_tls13: config.tls.min_version == TlsVersion::Tls13,
    }
}
