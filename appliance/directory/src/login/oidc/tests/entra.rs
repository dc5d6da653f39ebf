//! Entra ID as a function from questions to answers: one tenant, one application, keys that can be changed.

use std::collections::HashMap;

use aws_lc_rs::{
    digest, hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{self, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use config_schema::{
    Guid, Identity, Pem, Secret,
    user_lookup::{
        microsoft::Authority,
        oidc::{Credential, Oidc},
    },
};
use serde_json::{Value, json};

use crate::{
    http::{Request, Response},
    login::UnixTime,
};

pub(super) const TENANT: &str = "8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c";
pub(super) const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const ANN: &str = "aaaaaaaa-0000-0000-0000-00000000000a";
pub(super) const ISSUER: &str = "https://login.example.net:8443/8a7c0d3e-4b1f-4f0a-9d2b-0c5e6f7a8b9c/v2.0";
const REDIRECT: &str = "https://mx.example.com/login/oidc";
const SECRET: &str = "the application's secret & more";

/// What a test changes of a token.
pub(super) type Edit = Box<dyn Fn(&mut Value, &mut Value)>;

pub(super) struct Entra {
    pub(super) now: u64,
    /// The keys that are published; the last one signs.
    pub(super) keys: Vec<(String, KeyPair)>,
    pub(super) edit: Edit,
    pub(super) discovery: Value,
    /// Replaces the signature.
    pub(super) sign: Option<fn(&[u8], &KeyPair) -> Vec<u8>>,
    /// How often each path was asked.
    pub(super) asked: HashMap<String, usize>,
    /// What each code was given for: the challenge and the nonce.
    codes: HashMap<String, (String, String)>,
    certificate: Option<(Identity, Vec<u8>)>,
}

impl Entra {
    pub(super) fn new() -> Entra {
        let at = |path: &str| format!("https://login.example.net:8443/{TENANT}{path}");
        let discovery = json!({
            "issuer": ISSUER,
            "authorization_endpoint": at("/oauth2/v2.0/authorize"),
            "token_endpoint": at("/oauth2/v2.0/token"),
            "jwks_uri": at("/discovery/v2.0/keys"),
            "response_types_supported": ["code", "id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        });
        let mut entra = Entra {
            now: 1_700_000_000,
            keys: Vec::new(),
            edit: Box::new(|_, _| {}),
            discovery,
            sign: None,
            asked: HashMap::new(),
            codes: HashMap::new(),
            certificate: None,
        };
        entra.add_key("one");
        entra
    }

    /// The application has a certificate in place of a secret.
    pub(super) fn with_certificate(mut self) -> Entra {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let parameters = rcgen::CertificateParams::new(["mx.example.com".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let identity = Identity {
            certificate: Pem::certificates(&certificate.pem()).unwrap(),
            key: Secret::new(key.serialize_pem()),
        };
        self.certificate = Some((identity, key.public_key_raw().to_vec()));
        self
    }

    pub(super) fn add_key(&mut self, name: &str) {
        self.keys.push((name.to_owned(), KeyPair::generate(KeySize::Rsa2048).unwrap()));
    }

    pub(super) fn time(&self) -> UnixTime {
        UnixTime::from_seconds(self.now)
    }

    /// What the appliance is configured with.
    pub(super) fn registration(&self) -> Oidc {
        Oidc {
            tenant: TENANT.parse().unwrap(),
            client: CLIENT.parse().unwrap(),
            credential: match &self.certificate {
                Some((identity, _)) => Credential::Certificate(identity.clone()),
                None => Credential::Secret(Secret::new(SECRET)),
            },
            authority: Authority::Host("login.example.net:8443".parse().unwrap()),
            redirect_url: REDIRECT.parse().unwrap(),
        }
    }

    /// A person signs in; the query with which the browser comes back.
    pub(super) fn browser(&mut self, url: &str) -> String {
        let (address, query) = url.split_once('?').unwrap();
        assert_eq!(address, self.discovery["authorization_endpoint"]);
        let query = form(query);
        assert_eq!(query["client_id"], CLIENT);
        assert_eq!(query["redirect_uri"], REDIRECT);
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["scope"], "openid profile");
        assert_eq!(query["code_challenge_method"], "S256");
        let code = format!("0.AX{}", self.codes.len());
        self.codes.insert(code.clone(), (query["code_challenge"].clone(), query["nonce"].clone()));
        format!("code={code}&state={}&session_state=x", query["state"])
    }

    pub(super) fn answer(&mut self, request: &Request) -> Response {
        assert_eq!(request.host.to_string(), "login.example.net:8443");
        let path = request.target.strip_prefix(&format!("/{TENANT}")).unwrap().to_owned();
        *self.asked.entry(path.clone()).or_default() += 1;
        let (status, body) = match path.as_str() {
            "/v2.0/.well-known/openid-configuration" => (200, self.discovery.clone()),
            "/discovery/v2.0/keys" => (200, self.published()),
            "/oauth2/v2.0/token" => self.token(&form(request.body.as_ref().unwrap().content.expose())),
            _ => (404, json!({})),
        };
        Response { status, body: body.to_string().into_bytes(), ..Response::default() }
    }

    fn published(&self) -> Value {
        let key = |(name, key): &(String, KeyPair)| {
            let (n, e) = components(key.public_key().as_ref());
            json!({
                "kty": "RSA", "use": "sig", "kid": name, "x5t": name,
                "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e),
                "issuer": "https://login.example.net:8443/{tenantid}/v2.0",
            })
        };
        let foreign = json!({ "kty": "EC", "kid": "curve", "crv": "P-256", "x": "AA", "y": "AA" });
        json!({ "keys": self.keys.iter().map(key).chain([foreign]).collect::<Vec<_>>() })
    }

    fn token(&mut self, form: &HashMap<String, String>) -> (u16, Value) {
        assert_eq!(form["grant_type"], "authorization_code");
        assert_eq!(form["redirect_uri"], REDIRECT);
        if !self.is_application(form) {
            let text = "AADSTS7000215: Invalid client secret provided.";
            return (401, json!({ "error": "invalid_client", "error_description": text }));
        }
        let Some((challenge, nonce)) = self.codes.remove(&form["code"]) else {
            let text = "AADSTS54005: OAuth2 Authorization code was already redeemed.";
            return (400, json!({ "error": "invalid_grant", "error_description": text }));
        };
        let made = digest::digest(&digest::SHA256, form["code_verifier"].as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(made), challenge);
        (200, json!({ "token_type": "Bearer", "scope": "openid profile", "id_token": self.id_token(&nonce) }))
    }

    fn is_application(&self, form: &HashMap<String, String>) -> bool {
        let Some((_, key)) = &self.certificate else { return form["client_secret"] == SECRET };
        let (signed, given) = form["client_assertion"].rsplit_once('.').unwrap();
        let claims = signed.split_once('.').unwrap().1;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["aud"], self.discovery["token_endpoint"]);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(CLIENT), &json!(CLIENT)));
        let key = signature::UnparsedPublicKey::new(&signature::RSA_PSS_2048_8192_SHA256, key);
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(given).unwrap()).is_ok()
    }

    fn id_token(&self, nonce: &str) -> String {
        let (name, key) = self.keys.last().unwrap();
        let mut head = json!({ "typ": "JWT", "alg": "RS256", "kid": name });
        let mut claims = json!({
            "ver": "2.0", "iss": ISSUER, "aud": CLIENT, "tid": TENANT, "oid": ANN, "sub": "pairwise",
            "iat": self.now, "nbf": self.now, "exp": self.now + 3_600, "nonce": nonce,
            "name": "Ann", "preferred_username": "ann@example.com",
        });
        (self.edit)(&mut head, &mut claims);
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&head), encode(&claims));
        let signature = match self.sign {
            Some(sign) => sign(signed.as_bytes(), key),
            None => rs256(signed.as_bytes(), key),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub(super) fn rs256(signed: &[u8], key: &KeyPair) -> Vec<u8> {
    let mut made = vec![0; key.public_modulus_len()];
    key.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut made).unwrap();
    made
}

/// A signature with the public key taken for a shared one (RFC 8725 §2.1).
pub(super) fn hs256(signed: &[u8], key: &KeyPair) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.public_key().as_ref());
    hmac::sign(&key, signed).as_ref().to_vec()
}

pub(super) fn guid(text: &str) -> Guid {
    text.parse().unwrap()
}

/// The two numbers of an RSAPublicKey (RFC 8017, appendix A.1.1).
fn components(der: &[u8]) -> (&[u8], &[u8]) {
    fn part(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, head) = match der[1] {
            0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
            0x81 => (usize::from(der[2]), 3),
            short => (usize::from(short), 2),
        };
        der[head..].split_at(length)
    }
    let (n, rest) = part(part(der).0);
    (n.strip_prefix(&[0]).unwrap_or(n), part(rest).0)
}

fn form(text: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let mut octets = Vec::new();
        let mut parts = text.split('%');
        octets.extend_from_slice(parts.next().unwrap().as_bytes());
        for part in parts {
            octets.push(u8::from_str_radix(&part[..2], 16).unwrap());
            octets.extend_from_slice(part[2..].as_bytes());
        }
        String::from_utf8(octets).unwrap()
    };
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(key, value)| (key.to_owned(), decode(value))).collect()
}
