//! Devices that have logged in before: each keeps a token that proves it.
//!
//! A token is signed by a key of the appliance's and names the account, so that nothing has to be kept of it. It
//! opens nothing: it only has tries of its own.

use aws_lc_rs::{hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use config_schema::UserName;

use crate::login::UnixTime;

/// How long a token proves a device: 90 days after the last login.
pub const DEVICE_LIFETIME: u64 = 90 * 86_400;
/// Bytes of an appliance's key.
pub const DEVICE_KEY: usize = 32;

const ID: usize = 16;
const TIME: usize = 8;
const TAG: usize = 32;

/// A device that was proven for one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId([u8; ID]);

/// Makes and checks the tokens of one appliance.
#[derive(Debug)]
pub struct Devices(hmac::Key);

impl Devices {
    /// With the appliance's key, which is made once from random bytes; a new one forgets every device.
    pub fn new(key: &[u8; DEVICE_KEY]) -> Devices {
        Devices(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A token for the device from which `account` has just logged in; a device that had one keeps its identity.
    /// `None`: the system gives no random bytes.
    pub fn token(&self, account: &UserName, known: Option<DeviceId>, now: UnixTime) -> Option<String> {
        let id = match known {
            Some(DeviceId(id)) => id,
            None => {
                let mut id = [0; ID];
                rand::fill(&mut id).ok()?;
                id
            }
        };
        let mut token = [&id[..], &now.seconds().to_be_bytes()[..]].concat();
        let tag = self.tag(account, &token);
        token.extend_from_slice(tag.as_ref());
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// The device, if the token is ours, for this account, and not too old.
    pub fn prove(&self, account: &UserName, token: &str, now: UnixTime) -> Option<DeviceId> {
        if token.len() > (ID + TIME + TAG).div_ceil(3) * 4 {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (head, tag) = token.split_at_checked(ID + TIME)?;
        hmac::verify(&self.0, &message(account, head), tag).ok()?;
        let (id, time) = head.split_first_chunk::<ID>()?;
        let made = UnixTime::from_seconds(u64::from_be_bytes(time.try_into().ok()?));
        (now.since(made) <= DEVICE_LIFETIME).then_some(DeviceId(*id))
    }

    fn tag(&self, account: &UserName, head: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, &message(account, head))
    }
}

/// The head has a fixed length, so that the account cannot run into it.
fn message(account: &UserName, head: &[u8]) -> Vec<u8> {
    [b"postern known device", head, account.to_string().as_bytes()].concat()
}
