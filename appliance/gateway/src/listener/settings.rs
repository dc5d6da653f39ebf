//! What the listener takes out of the configuration.

use std::sync::{Arc, Mutex, PoisonError};

use config_schema::Config;
use smtp::server::{Extensions, Limits, ServerConfig};

use super::sources::SourceLimits;

/// The settings of sessions, derived once for each configuration and shared by all of its sessions.
#[derive(Debug, Default)]
pub(super) struct Settings(Mutex<Option<(Arc<Config>, Arc<ServerConfig>)>>);

impl Settings {
    /// The settings for `config`; `changed` is called when they had to be derived anew.
    pub(super) fn of(&self, config: &Arc<Config>, changed: impl FnOnce(SourceLimits)) -> Arc<ServerConfig> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, settings)) = &*kept
            && Arc::ptr_eq(known, config)
        {
            return settings.clone();
        }
        let settings = Arc::new(session_settings(config));
        *kept = Some((config.clone(), settings.clone()));
        changed(source_limits(config));
        settings
    }
}

/// Limits by source as the configuration has them.
pub(super) fn source_limits(config: &Config) -> SourceLimits {
    SourceLimits {
        connections: config.limits.connections,
        per_address: config.limits.connections_per_address,
        per_network: config.limits.connections_per_network,
        new_per_minute: config.limits.new_connections_per_minute,
        ..SourceLimits::default()
    }
}

fn session_settings(config: &Config) -> ServerConfig {
    let mut settings = ServerConfig::new(config.network.hostname.clone());
    settings.extensions = Extensions { starttls: true, ..Extensions::default() };
    settings.limits = Limits {
        recipients: config.limits.recipients,
        messages: config.limits.messages_per_connection,
        message_size: config.limits.message_size.bytes(),
        ..Limits::default()
    };
    settings
}
