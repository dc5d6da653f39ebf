//! The token endpoint: client credentials by secret or by assertion.

use std::collections::HashMap;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

use super::{Reply, Request, delta::percent_decode, tenant::Tenant};

/// How far a clock may be off, in seconds.
const LEEWAY: u64 = 300;

impl Tenant {
    pub(super) fn token_path(&self) -> String {
        format!("/{}/oauth2/v2.0/token", self.id)
    }

    pub(super) fn token(&mut self, request: &Request, unix: u64) -> Reply {
        if let Some((code, text)) = &self.sign_in_error {
            return denied(*code, text);
        }
        let body = String::from_utf8_lossy(&request.body);
        let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
        let form: HashMap<&str, String> = pairs.map(|(key, value)| (key, percent_decode(value))).collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if request.method != "POST" || field("grant_type") != "client_credentials" {
            return denied(70_003, "The app requested an unsupported grant type.");
        }
        if field("scope") != format!("https://{}/.default", self.graph_host) {
            return denied(70_011, "The provided value for scope is not valid.");
        }
        if field("client_id") != self.client {
            return denied(700_016, "Application was not found in the directory.");
        }
        let proven = match (form.get("client_secret"), form.get("client_assertion")) {
            (Some(given), None) if self.secret.as_ref() == Some(given) => Ok(()),
            (None, Some(assertion)) => self.check_assertion(assertion, field("client_assertion_type"), unix),
            _ => Err((7_000_215, "Invalid client secret provided.")),
        };
        if let Err((code, text)) = proven {
            return denied(code, text);
        }
        let token = format!("token-{}-{unix}", self.asked.len());
        self.tokens.insert(token.clone(), unix + self.token_life);
        let body = json!({ "token_type": "Bearer", "expires_in": self.token_life, "access_token": token });
        Reply { body: body.to_string().into_bytes(), ..Reply::status(200) }
    }

    /// Checks an assertion as RFC 7523 §3 says.
    fn check_assertion(&mut self, assertion: &str, kind: &str, unix: u64) -> Result<(), (u32, &'static str)> {
        const UNSIGNED: (u32, &str) = (700_027, "Client assertion failed signature validation.");
        let certificate = self.certificate.as_ref().ok_or(UNSIGNED)?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or(UNSIGNED)?;
        let (head, claims) = signed.split_once('.').ok_or(UNSIGNED)?;
        let (head, claims) = (decode(head).ok_or(UNSIGNED)?, decode(claims).ok_or(UNSIGNED)?);
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(certificate));
        if kind != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            || head["alg"] != "PS256"
            || head["x5t#S256"] != thumbprint.as_str()
        {
            return Err(UNSIGNED);
        }
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| UNSIGNED)?;
        let key = parsed.public_key().subject_public_key.data.as_ref();
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| UNSIGNED)?;
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| UNSIGNED)?;
        let audience = format!("https://{}{}", self.login_host, self.token_path());
        if claims["aud"] != audience.as_str()
            || claims["iss"] != self.client.as_str()
            || claims["sub"] != claims["iss"]
        {
            return Err((700_023, "Client assertion audience claim does not match."));
        }
        let (from, to) = (claims["nbf"].as_u64().unwrap_or(u64::MAX), claims["exp"].as_u64().unwrap_or(0));
        if unix + LEEWAY < from || unix > to + LEEWAY {
            return Err((700_024, "Client assertion is not within its valid time range."));
        }
        let id = claims["jti"].as_str().unwrap_or_default();
        if id.is_empty() || !self.used.insert(id.to_owned()) {
            return Err((700_027, "Client assertion was used before."));
        }
        Ok(())
    }
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn denied(code: u32, text: &str) -> Reply {
    let body = json!({
        "error": "invalid_client",
        "error_description": format!("AADSTS{code}: {text}\r\nTrace ID: 0\r\nTimestamp: 0"),
        "error_codes": [code],
    });
    Reply { body: body.to_string().into_bytes(), ..Reply::status(401) }
}
