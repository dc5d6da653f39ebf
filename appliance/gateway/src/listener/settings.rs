//! What the listener takes out of the configuration.

use std::sync::{Arc, Mutex, PoisonError};

use config_schema::Config;
use config_schema::value::ByteSize;
use smtp::server::{Extensions, Limits, ServerConfig, Timeouts};

use super::sources::SourceLimits;
use crate::message::HeaderLimits;

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

/// A source is banned for as many unknown recipients as this many sessions may ask for.
const SESSIONS_BEFORE_BAN: u32 = 3;

/// Limits by source as the configuration has them.
pub(super) fn source_limits(config: &Config) -> SourceLimits {
    let limits = &config.limits;
    SourceLimits {
        connections: limits.connections,
        per_address: limits.connections_per_address,
        per_network: limits.connections_per_network,
        new_per_minute: limits.new_connections_per_minute,
        reserved_percent: limits.reserved_percent,
        unknown_recipients: limits.unknown_recipients.saturating_mul(SESSIONS_BEFORE_BAN),
        ban: limits.ban.duration(),
    }
}

/// Limits of a header section as the configuration has them.
pub(super) fn header_limits(config: &Config) -> HeaderLimits {
    HeaderLimits {
        octets: config.limits.header_size.bytes(),
        fields: config.limits.header_fields,
        received: config.limits.received_fields,
        own_received: config.limits.own_received_fields,
    }
}

fn session_settings(config: &Config) -> ServerConfig {
    let limits = &config.limits;
    let length = |size: ByteSize| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    let mut settings = ServerConfig::new(config.network.hostname.clone());
    settings.extensions = Extensions { starttls: true, ..Extensions::default() };
    settings.limits = Limits {
        command_line: length(limits.command_line),
        bad_commands: limits.bad_commands,
        idle_commands: limits.idle_commands,
        recipients: limits.recipients,
        unknown_recipients: limits.unknown_recipients,
        messages: limits.messages_per_connection,
        message_size: limits.message_size.bytes(),
        data_line: length(limits.data_line),
    };
    settings.timeouts = Timeouts {
        banner: limits.banner_time.duration(),
        command: limits.command_time.duration(),
        data_block: limits.data_block_time.duration(),
        data: limits.data_time.duration(),
        tls: limits.tls_handshake_time.duration(),
        ..Timeouts::default()
    };
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every limit of a session is the configuration's.
    #[test]
    fn sessions_have_the_limits_of_the_configuration() {
        let text = "version = 1\n[network]\nhostname = \"mx.example.com\"\naddress = \"dhcp\"\n[limits]\n\
                    banner-time = \"11s\"\ncommand-time = \"12s\"\ndata-block-time = \"13s\"\ndata-time = \"61s\"\n\
                    tls-handshake-time = \"14s\"\nrecipients = 101\n";
        let settings = session_settings(&Config::parse("test.toml", text).unwrap());
        let times = settings.timeouts;
        let seconds =
            [times.banner, times.command, times.data_block, times.data, times.tls].map(|time| time.as_secs());
        assert_eq!((seconds, settings.limits.recipients), ([11, 12, 13, 61, 14], 101));
    }
}
