//! `[limits]` and `[limits.tcp]`: what peers may take, and how long they may take for it.

use crate::{
    bounded::bounded,
    mistake::Notes,
    reader::Section,
    value::{ByteSize, Period},
};

const fn secs(seconds: u64) -> Period {
    Period::from_secs(seconds)
}

const fn mins(minutes: u64) -> Period {
    Period::from_secs(60 * minutes)
}

const fn bytes(bytes: u64) -> ByteSize {
    ByteSize::new(bytes)
}

const MB: u64 = 1_000_000;

bounded! {
    /// What peers may take.
    pub struct Limits {
        /// Connections in all, both directions.
        connections: u32 = "connections", 10_000, 10, 60_000;
        /// Connections open from one address.
        connections_per_address: u32 = "connections-per-address", 50, 1, 60_000;
        /// Connections open from one IPv4 /24 or IPv6 /48.
        connections_per_network: u32 = "connections-per-network", 250, 1, 60_000;
        /// New connections from one address within a minute.
        new_connections_per_minute: u32 = "new-connections-per-minute", 600, 1, 1_000_000;
        /// Percent of the connections that only known networks and our own deliveries may use.
        reserved_percent: u32 = "reserved-percent", 10, 0, 90;
        /// Memory for the buffers of all connections; `0` takes a quarter of the machine's.
        buffer_memory: ByteSize = "buffer-memory", bytes(0), bytes(0), bytes(64_000 * MB);
        /// A command line. RFC 5321 §4.5.3.1.4 and the extensions ask for more than 512 bytes.
        command_line: ByteSize = "command-line", bytes(2_048), bytes(1_024), bytes(65_536);
        /// A line of a next hop's reply; RFC 5321 §4.5.3.1.5 asks for 512 bytes.
        reply_line: ByteSize = "reply-line", bytes(2_048), bytes(512), bytes(65_536);
        /// A line of a message.
        data_line: ByteSize = "data-line", bytes(MB), bytes(1_000), bytes(10 * MB);
        /// Commands in one session that are wrong.
        bad_commands: u32 = "bad-commands", 10, 1, 1_000;
        /// Commands in one session that lead nowhere, such as NOOP and RSET.
        idle_commands: u32 = "idle-commands", 100, 10, 100_000;
        /// Recipients in one session that do not exist.
        unknown_recipients: u32 = "unknown-recipients", 20, 1, 1_000;
        /// How long a source is banned that asked for too many unknown recipients.
        ban: Period = "ban", mins(60), secs(0), mins(7 * 24 * 60);
        /// Recipients of one message; RFC 5321 §4.5.3.1.8 asks for 100.
        recipients: u32 = "recipients", 1_000, 100, 10_000;
        /// Messages on one connection.
        messages_per_connection: u32 = "messages-per-connection", 100, 1, 100_000;
        /// A message. RFC 5321 §4.5.3.1.7 asks for 64 kB; Microsoft 365 takes 150 MB.
        message_size: ByteSize = "message-size", bytes(150 * MB), bytes(65_536), bytes(1_000 * MB);
        /// The header section of a message.
        header_size: ByteSize = "header-size", bytes(MB), bytes(65_536), bytes(10 * MB);
        /// Fields in a header section.
        header_fields: u32 = "header-fields", 2_000, 100, 100_000;
        /// `Received` fields: more are a loop (RFC 5321 §6.3 asks for 100 at least, which no one needs).
        received_fields: u32 = "received-fields", 50, 10, 1_000;
        /// `Received` fields of our own: more are a loop.
        own_received_fields: u32 = "own-received-fields", 10, 2, 100;
        /// Memory for all messages that are being received.
        receiving_memory: ByteSize = "receiving-memory", bytes(64 << 20), bytes(4 << 20), bytes(64 << 30);
        /// Until the greeting is out.
        banner_time: Period = "banner-time", mins(5), secs(10), mins(60);
        /// Between two commands; RFC 5321 §4.5.3.2.7 asks for 5 minutes.
        command_time: Period = "command-time", mins(5), secs(10), mins(60);
        /// Between two blocks of a message; RFC 5321 §4.5.3.2.5 asks for 3 minutes.
        data_block_time: Period = "data-block-time", mins(3), secs(10), mins(60);
        /// For a whole message.
        data_time: Period = "data-time", mins(60), mins(1), mins(24 * 60);
        /// For a TLS handshake.
        tls_handshake_time: Period = "tls-handshake-time", secs(30), secs(5), mins(5);
        /// TLS handshakes within a second, in all.
        tls_handshakes_per_second: u32 = "tls-handshakes-per-second", 200, 1, 10_000;
        /// One try of a DNS question.
        dns_time: Period = "dns-time", secs(5), secs(1), secs(60);
        /// Tries of a DNS question.
        dns_tries: u32 = "dns-tries", 3, 1, 10;
        /// DNS questions for one message.
        dns_questions_per_message: u32 = "dns-questions-per-message", 200, 10, 10_000;
        /// All DNS questions for one message together.
        dns_time_per_message: Period = "dns-time-per-message", secs(15), secs(1), mins(5);
        /// Answers that are kept.
        dns_cache_entries: u32 = "dns-cache-entries", 20_000, 100, 10_000_000;
        /// Mail is no longer accepted with less than this percent of the disk free.
        disk_reserve_percent: u32 = "disk-reserve-percent", 10, 1, 50;
        /// Mail is no longer accepted with less than this free.
        disk_reserve: ByteSize = "disk-reserve", bytes(1_000 * MB), bytes(16 * MB), bytes(1_000_000 * MB);
        /// Percent of the disk for the event log; the oldest events go first.
        log_percent: u32 = "log-percent", 10, 1, 50;
        /// Percent of the disk for the audit log; the oldest entries go first.
        audit_percent: u32 = "audit-percent", 2, 1, 50;
    }
}

bounded! {
    /// How long a TCP connection may stay in each phase.
    pub struct TcpLimits {
        /// Until a connection of ours is open.
        syn_sent: Period = "syn-sent", secs(30), secs(1), mins(5);
        /// Data that the peer does not acknowledge, without any progress (RFC 9293 §3.8.3).
        unacknowledged: Period = "unacknowledged", secs(100), secs(10), mins(60);
        /// A peer that takes no data, while none of a message is moved.
        zero_window: Period = "zero-window", mins(2), secs(10), mins(60);
        /// A peer that takes no data in the middle of a message.
        zero_window_bulk: Period = "zero-window-bulk", mins(20), secs(10), mins(120);
        /// Our end of the connection unacknowledged.
        fin_wait_1: Period = "fin-wait-1", mins(1), secs(1), mins(10);
        /// Our end acknowledged, and neither data nor an end from the peer.
        fin_wait_2: Period = "fin-wait-2", mins(1), secs(1), mins(10);
        /// Both ends closed, ours unacknowledged.
        last_ack: Period = "last-ack", mins(1), secs(1), mins(10);
        /// Silence on a connection of ours until the peer is asked for a sign of life.
        keep_alive: Period = "keep-alive", mins(15), mins(1), mins(24 * 60);
    }
}

impl Limits {
    pub(crate) fn read(mut section: Section<'_>, notes: &mut Notes<'_>) -> (Limits, TcpLimits) {
        let limits = Limits::read_keys(&mut section, notes);
        let tcp = section.section("tcp", notes).map(|mut section| {
            let tcp = TcpLimits::read_keys(&mut section, notes);
            section.finish(notes);
            tcp
        });
        limits.check(&section, notes);
        section.finish(notes);
        (limits, tcp.unwrap_or_default())
    }

    /// Limits that have a sense only together.
    fn check(&self, section: &Section<'_>, notes: &mut Notes<'_>) {
        let pairs = [
            (
                ("connections-per-address", self.connections_per_address),
                ("connections-per-network", self.connections_per_network),
            ),
            (("connections-per-network", self.connections_per_network), ("connections", self.connections)),
        ];
        for ((key, value), (bound, most)) in pairs {
            if value > most {
                let place = section.place_of(key, bound);
                let text = format!("{value}, expected no more than `{bound}`, which is {most}");
                notes.note(place.span, &place.path, text);
            }
        }
        if self.data_block_time > self.data_time {
            let place = section.place_of("data-block-time", "data-time");
            let text = format!(
                "{}, expected no more than `data-time`, which is {}",
                self.data_block_time, self.data_time
            );
            notes.note(place.span, &place.path, text);
        }
    }
}
