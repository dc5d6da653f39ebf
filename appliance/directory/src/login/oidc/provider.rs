//! One tenant, as far as it is known.

use aws_lc_rs::rand;
use config_schema::{
    Guid, Secret,
    user_lookup::{
        entra_id::WebHost,
        oidc::{Credential, Oidc, RedirectUrl},
    },
};

use super::{
    DISCOVERY_MAX, KEYS_ANSWER_MAX, Refusal, TOKEN_ANSWER_MAX,
    discovery::{self, Endpoints},
    keys::Keys,
    waiting::Pending,
};
use crate::{
    graph::{KeyError, Signer},
    http::{Body, Failure, Request, Response, percent_encode},
    login::UnixTime,
};

/// Seconds that a discovery document is used before it is read again.
pub const KEEP: u64 = 86_400;

/// One user lookup's tenant, and what proves us to it.
#[derive(Debug)]
pub struct Provider {
    pub(super) tenant: Guid,
    pub(super) client: Guid,
    pub(super) host: WebHost,
    pub(super) issuer: String,
    redirect_url: RedirectUrl,
    proof: Result<Proof, KeyError>,
    discovered: Option<(Endpoints, UnixTime)>,
    pub(super) keys: Keys,
}

#[derive(Debug)]
enum Proof {
    Secret(Secret),
    Key(Box<Signer>),
}

impl Provider {
    /// Nothing is asked yet. A key that does not work is told when it is used.
    pub fn new(oidc: &Oidc) -> Provider {
        let host = oidc.authority.host();
        let proof = match &oidc.credential {
            Credential::Secret(secret) => Ok(Proof::Secret(secret.clone())),
            Credential::Certificate(identity) => Signer::new(identity).map(Box::new).map(Proof::Key),
        };
        Provider {
            tenant: oidc.tenant,
            client: oidc.client,
            issuer: format!("https://{host}/{}/v2.0", oidc.tenant),
            host,
            redirect_url: oidc.redirect_url.clone(),
            proof,
            discovered: None,
            keys: Keys::default(),
        }
    }

    /// The discovery document, where there is none, or an old one.
    pub fn wants(&self, now: UnixTime) -> Option<Request> {
        let old = |at: &UnixTime| *at > now || now.since(*at) >= KEEP;
        if self.discovered.as_ref().is_some_and(|(_, at)| !old(at)) {
            return None;
        }
        Some(self.get(format!("/{}/v2.0/.well-known/openid-configuration", self.tenant), DISCOVERY_MAX))
    }

    /// What came of [`wants`](Self::wants). A document that is there already stays where this one is not good.
    ///
    /// # Errors
    /// When it was not read, or is not the tenant's.
    pub fn discovered(&mut self, answer: Result<Response, Failure>, now: UnixTime) -> Result<(), Refusal> {
        let answer = answer?;
        if answer.status != 200 {
            return Err(Refusal::Status(answer.status));
        }
        let method = match &self.proof {
            Ok(Proof::Secret(_)) => "client_secret_post",
            _ => "private_key_jwt",
        };
        let endpoints = discovery::read(&answer.body, &self.host, &self.issuer, method)?;
        self.discovered = Some((endpoints, now));
        Ok(())
    }

    pub(super) fn endpoints(&self) -> Result<&Endpoints, Refusal> {
        self.discovered.as_ref().map(|(endpoints, _)| endpoints).ok_or(Refusal::NotDiscovered)
    }

    /// Where to send a browser (OpenID Connect Core §3.1.2.1, RFC 7636 §4.3).
    pub(super) fn authorization_url(&self, pending: &Pending) -> Result<String, Refusal> {
        let (client, challenge) = (self.client.to_string(), pending.challenge());
        let parameters = form(&[
            ("client_id", client.as_str()),
            ("response_type", "code"),
            ("response_mode", "query"),
            ("redirect_uri", self.redirect_url.as_str()),
            ("scope", "openid profile"),
            ("state", &pending.state),
            ("nonce", &pending.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Ok(format!("https://{}{}?{parameters}", self.host, self.endpoints()?.authorization))
    }

    /// Asks for the token (OpenID Connect Core §3.1.3.1).
    pub(super) fn token_request(
        &self,
        code: &Secret,
        pending: &Pending,
        now: UnixTime,
    ) -> Result<Request, Refusal> {
        let target = self.endpoints()?.token.clone();
        let client = self.client.to_string();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client.as_str()),
            ("code", code.expose()),
            ("redirect_uri", self.redirect_url.as_str()),
            ("code_verifier", pending.verifier.expose()),
        ];
        let assertion;
        match self.proof.as_ref().map_err(|why| *why)? {
            Proof::Secret(secret) => fields.push(("client_secret", secret.expose())),
            Proof::Key(signer) => {
                let mut id = [0; 16];
                rand::fill(&mut id).map_err(|_| Refusal::Random)?;
                let audience = format!("https://{}{target}", self.host);
                assertion = signer.sign(self.client, &audience, now.seconds(), id)?;
                // RFC 7523 §2.2.
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                fields.push(("client_assertion_type", kind));
                fields.push(("client_assertion", &assertion));
            }
        }
        let body = Body { kind: "application/x-www-form-urlencoded", content: Secret::new(form(&fields)) };
        Ok(Request { body: Some(body), ..self.get(target, TOKEN_ANSWER_MAX) })
    }

    /// Asks for the keys.
    pub(super) fn keys_request(&self) -> Result<Request, Refusal> {
        Ok(self.get(self.endpoints()?.keys.clone(), KEYS_ANSWER_MAX))
    }

    fn get(&self, target: String, answer_max: usize) -> Request {
        Request {
            host: self.host.clone(),
            target,
            bearer: None,
            headers: vec![("Accept", "application/json")],
            body: None,
            answer_max,
        }
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(key, value)| format!("{key}={}", percent_encode(value))).collect();
    pairs.join("&")
}
