//! What things in the store are called, and when they happened.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01 UTC, as the caller's clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const MIN: Timestamp = Timestamp(0);
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    pub const fn from_unix_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    pub const fn unix_micros(self) -> u64 {
        self.0
    }

    /// The time `by` later; the end of time when it would be beyond.
    pub const fn after(self, by: Duration) -> Self {
        let micros = by.as_micros();
        if micros > u64::MAX as u128 { Self::MAX } else { Self(self.0.saturating_add(micros as u64)) }
    }

    /// How long ago `earlier` was; zero when it lies ahead, as after a clock that jumped back.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// One stored message. Ordered by the time when it was begun; printed as the queue id: eleven characters of
/// base 32 without `i`, `l`, `o` and `u`, which are easily misread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(u64);

/// Messages that can be begun within a second before ids run ahead of the clock: 2^20.
const SEQUENCE_BITS: u32 = 20;

impl MessageId {
    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(self) -> u64 {
        self.0
    }

    /// The next id at `now`: after `last` always, even when the clock went back.
    pub(crate) fn next(last: MessageId, now: Timestamp) -> MessageId {
        let by_clock = now.unix_seconds().min(u64::MAX >> SEQUENCE_BITS) << SEQUENCE_BITS;
        MessageId(by_clock.max(last.0.saturating_add(1)))
    }
}

/// One delivery of a message: the recipients that share a destination. Printed as `QUEUEID-n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId {
    pub message: MessageId,
    /// Numbered from 0 in the order in which the deliveries were enqueued.
    pub number: u16,
}

/// One SMTP session, as the gateway numbers them; printed like a queue id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    #[error("a queue id has 1 to {MAX_DIGITS} characters")]
    Length,
    #[error("character {0} of the queue id is none of 0-9 and a-z without i, l, o, u")]
    Character(usize),
    #[error("a delivery is written QUEUEID-NUMBER")]
    Delivery,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 13 digits of 5 bits hold 64 bits.
const MAX_DIGITS: usize = 13;

/// Eleven digits hold the seconds until the year 2514 and the sequence; padding keeps printed ids sortable.
const USUAL_DIGITS: usize = 11;

fn print(value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0u8; MAX_DIGITS];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    let used = (64 - value.leading_zeros() as usize).div_ceil(5).max(USUAL_DIGITS);
    f.write_str(std::str::from_utf8(&digits[MAX_DIGITS - used..]).unwrap_or_default())
}

fn parse(text: &str) -> Result<u64, IdError> {
    if text.is_empty() || text.len() > MAX_DIGITS {
        return Err(IdError::Length);
    }
    let mut value = 0u64;
    for (at, byte) in text.bytes().enumerate() {
        let digit = ALPHABET
            .iter()
            .position(|&known| known == byte.to_ascii_lowercase())
            .ok_or(IdError::Character(at + 1))?;
        // Thirteen digits have 65 bits: the first may only be 0 or … f.
        value = value.checked_mul(32).ok_or(IdError::Length)? | digit as u64;
    }
    Ok(value)
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl FromStr for MessageId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(self.0, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.message, self.number)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveryId({self})")
    }
}

impl FromStr for DeliveryId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (message, number) = text.split_once('-').ok_or(IdError::Delivery)?;
        Ok(Self { message: message.parse()?, number: number.parse().map_err(|_| IdError::Delivery)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_reads_back_and_sorts_as_it_prints(a: u64, b: u64, number: u16) {
            let (a, b) = (MessageId(a), MessageId(b));
            let id = DeliveryId { message: a, number };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            let (printed_a, printed_b) = (a.to_string(), b.to_string());
            if printed_a.len() == printed_b.len() {
                prop_assert_eq!(a.cmp(&b), printed_a.cmp(&printed_b));
            }
        }

        #[test]
        fn no_text_panics_and_what_parses_prints_the_same(text in "[0-9a-zA-Z-]{0,20}|.{0,8}") {
            if let Ok(id) = text.parse::<MessageId>() {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
            let _ = text.parse::<DeliveryId>();
        }
    }

    #[test]
    fn ids_print_short_and_read_back() {
        let now = Timestamp::from_unix_seconds(1_795_000_000);
        let id = MessageId::next(MessageId(0), now);
        assert_eq!(id.to_string().len(), USUAL_DIGITS);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        let delivery = DeliveryId { message: id, number: 7 };
        assert_eq!(delivery.to_string().parse(), Ok(delivery));
        for raw in [0, 1, 31, 32, u64::MAX] {
            assert_eq!(MessageId(raw).to_string().parse(), Ok(MessageId(raw)));
        }
    }

    #[test]
    fn ids_go_up_although_the_clock_goes_back() {
        let late = MessageId::next(MessageId(0), Timestamp::from_unix_seconds(2_000_000_000));
        let early = MessageId::next(late, Timestamp::from_unix_seconds(1));
        assert!(early > late && early.to_string() > late.to_string());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!("".parse::<MessageId>(), Err(IdError::Length));
        assert_eq!("00000000000000".parse::<MessageId>(), Err(IdError::Length));
        assert_eq!("zzzzzzzzzzzzz".parse::<MessageId>(), Err(IdError::Length));
        assert_eq!("0u".parse::<MessageId>(), Err(IdError::Character(2)));
        assert_eq!("0".parse::<DeliveryId>(), Err(IdError::Delivery));
        assert_eq!("0-70000".parse::<DeliveryId>(), Err(IdError::Delivery));
    }
}
