//! The token that opens Graph, by client credentials (RFC 6749 §4.4).

use std::time::Duration;

use config_schema::{
    Guid, Secret,
    user_lookup::entra_id::{Credential, EntraId, WebHost},
};
use serde::Deserialize;
use smtp::Time;

use super::{
    Moment,
    assertion::{KeyError, Signer},
    fault::Fault,
};
use crate::http::{Body, Request, Response, percent_encode};

/// Longest answer of the token endpoint. A token is some thousand bytes.
pub const TOKEN_ANSWER_MAX: usize = 64 << 10;
/// So long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// The longest that a token is used, whatever its giver says.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Gets tokens and keeps the last one.
#[derive(Debug)]
pub(super) struct Tokens {
    tenant: Guid,
    client: Guid,
    login: WebHost,
    graph: WebHost,
    proof: Result<Proof, KeyError>,
    held: Option<(Secret, Time)>,
}

#[derive(Debug)]
enum Proof {
    Secret { text: Secret, ends: u64 },
    Key(Signer),
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Denied {
    #[serde(default)]
    error_description: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

impl Tokens {
    pub(super) fn new(entra: &EntraId) -> Tokens {
        let proof = match &entra.credential {
            Credential::Secret { text, expires } => {
                Ok(Proof::Secret { text: text.clone(), ends: expires.begins_at() })
            }
            Credential::Certificate(identity) => Signer::new(identity).map(Proof::Key),
        };
        Tokens {
            tenant: entra.tenant,
            client: entra.client,
            login: entra.hosts.login(),
            graph: entra.hosts.graph(),
            proof,
            held: None,
        }
    }

    /// When what proves us ends, in Unix seconds.
    pub(super) fn proof_ends(&self) -> Option<u64> {
        match self.proof.as_ref().ok()? {
            Proof::Secret { ends, .. } => Some(*ends),
            Proof::Key(signer) => Some(signer.ends),
        }
    }

    /// The token, while it may be used.
    pub(super) fn held(&self, now: Time) -> Option<&Secret> {
        self.held.as_ref().filter(|(_, until)| now < *until).map(|(token, _)| token)
    }

    /// Graph does not take it any more.
    pub(super) fn discard(&mut self) {
        self.held = None;
    }

    /// Asks for a new one.
    pub(super) fn request(&self, now: &Moment) -> Result<Request, Fault> {
        let target = format!("/{}/oauth2/v2.0/token", self.tenant);
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.client.to_string()),
            ("scope", format!("https://{}/.default", self.graph)),
        ];
        match self.proof.as_ref().map_err(|why| *why)? {
            Proof::Secret { text, .. } => form.push(("client_secret", text.expose().to_owned())),
            Proof::Key(signer) => {
                let audience = format!("https://{}{target}", self.login);
                let assertion = signer.sign(self.client, &audience, now.unix, now.random)?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", assertion));
            }
        }
        let pairs: Vec<String> =
            form.iter().map(|(key, value)| format!("{key}={}", percent_encode(value))).collect();
        Ok(Request {
            host: self.login.clone(),
            target,
            bearer: None,
            headers: vec![("Accept", "application/json")],
            body: Some(Body {
                kind: "application/x-www-form-urlencoded",
                content: Secret::new(pairs.join("&")),
            }),
            answer_max: TOKEN_ANSWER_MAX,
        })
    }

    /// Takes the answer.
    pub(super) fn answered(&mut self, now: Time, response: &Response) -> Result<(), Fault> {
        match response.status {
            200 => {}
            429 | 503 | 504 => return Err(Fault::Busy(response.status)),
            400 | 401 => return Err(denied(response)),
            status => return Err(Fault::Status(status)),
        }
        let granted: Granted =
            serde_json::from_slice(&response.body).map_err(|why| Fault::Malformed(why.to_string().into()))?;
        let visible =
            !granted.access_token.is_empty() && granted.access_token.bytes().all(|c| c.is_ascii_graphic());
        if !visible {
            return Err(Fault::Malformed("the token holds characters that no token has".into()));
        }
        let life = Duration::from_secs(granted.expires_in).min(LIFE_MAX);
        // A token that lives shorter than the margin is used for half of its life.
        let until = now + life.saturating_sub(MARGIN).max(life / 2);
        self.held = Some((Secret::new(granted.access_token), until));
        Ok(())
    }
}

fn denied(response: &Response) -> Fault {
    match serde_json::from_slice::<Denied>(&response.body) {
        Ok(denied) => Fault::of_login(&denied.error_codes, &denied.error_description),
        Err(_) => Fault::Status(response.status),
    }
}
