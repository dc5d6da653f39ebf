//! From the code that a browser brought back to who signed in.

use config_schema::Secret;
use serde::Deserialize;

use super::{
    Identity, Provider, Refusal, Returned,
    claims::{self, Expected},
    jwt::Jwt,
    refusal::shown,
    waiting::Pending,
};
use crate::{
    http::{Failure, Request, Response},
    login::UnixTime,
};

/// Longest answer of the token endpoint, in bytes: tokens, and an access token that we do not use.
pub const TOKEN_ANSWER_MAX: usize = 96 << 10;

/// One sign-in. Each question is answered by [`Exchange::answer`].
#[derive(Debug)]
pub struct Exchange {
    pending: Pending,
    code: Secret,
    asked: Asked,
}

/// What was asked.
#[derive(Debug)]
enum Asked {
    Discovery,
    Token,
    /// The keys, for this token.
    Keys(Secret),
    Nothing,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Ask this.
    Ask(Request),
    /// This came of it.
    Done(Result<Identity, Refusal>),
}

#[derive(Deserialize)]
struct Granted {
    id_token: String,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Exchange {
    /// Begins for a browser that came back; `provider` is that of [`Returned::lookup`].
    pub fn new(provider: &Provider, returned: Returned, now: UnixTime) -> (Exchange, Step) {
        let Returned { pending, code, issuer, .. } = returned;
        let mut exchange = Exchange { pending, code, asked: Asked::Nothing };
        if issuer.is_some_and(|issuer| issuer != provider.issuer) {
            return (exchange, Step::Done(Err(Refusal::MixedUp)));
        }
        let step = match provider.wants(now) {
            Some(request) => exchange.ask(Asked::Discovery, Ok(request)),
            None => exchange.ask_token(provider, now),
        };
        (exchange, step)
    }

    /// Takes the answer to the last question.
    pub fn answer(
        &mut self,
        provider: &mut Provider,
        answer: Result<Response, Failure>,
        now: UnixTime,
    ) -> Step {
        let next = match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Nothing => Err(Refusal::Misuse),
            Asked::Discovery => match provider.discovered(answer, now) {
                // An older document is still there.
                Err(_) if provider.endpoints().is_ok() => return self.ask_token(provider, now),
                Ok(()) => return self.ask_token(provider, now),
                Err(refusal) => Err(refusal),
            },
            Asked::Token => match granted(answer) {
                Ok(token) => return self.check_or_ask_keys(provider, &token, now),
                Err(refusal) => Err(refusal),
            },
            Asked::Keys(token) => {
                read_keys(provider, answer, now).and_then(|()| self.check(provider, &token, now))
            }
        };
        Step::Done(next)
    }

    fn ask(&mut self, asked: Asked, request: Result<Request, Refusal>) -> Step {
        match request {
            Ok(request) => {
                self.asked = asked;
                Step::Ask(request)
            }
            Err(refusal) => Step::Done(Err(refusal)),
        }
    }

    fn ask_token(&mut self, provider: &Provider, now: UnixTime) -> Step {
        self.ask(Asked::Token, provider.token_request(&self.code, &self.pending, now))
    }

    fn check_or_ask_keys(&mut self, provider: &mut Provider, token: &Secret, now: UnixTime) -> Step {
        let key = match Jwt::read(token.expose()) {
            Ok(jwt) => jwt.key,
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        if !provider.keys.are_wanted_for(&key, now) {
            return Step::Done(self.check(provider, token, now));
        }
        provider.keys.asked(now);
        self.ask(Asked::Keys(token.clone()), provider.keys_request())
    }

    fn check(&self, provider: &Provider, token: &Secret, now: UnixTime) -> Result<Identity, Refusal> {
        let jwt = Jwt::read(token.expose())?;
        provider.keys.verify(&jwt, &provider.issuer, &provider.tenant.to_string())?;
        let expected = Expected {
            issuer: &provider.issuer,
            tenant: provider.tenant,
            client: provider.client,
            nonce: &self.pending.nonce,
            now,
        };
        claims::check(&jwt.claims, &expected)
    }
}

/// The token in an answer of the token endpoint.
fn granted(answer: Result<Response, Failure>) -> Result<Secret, Refusal> {
    let answer = answer?;
    let damaged = |why: &str| Refusal::TokenAnswer(shown(why));
    if answer.body.len() > TOKEN_ANSWER_MAX {
        return Err(damaged("too long"));
    }
    match answer.status {
        200 => serde_json::from_slice::<Granted>(&answer.body)
            .map(|granted| Secret::new(granted.id_token))
            .map_err(|why| damaged(&why.to_string())),
        400 | 401 => Err(match serde_json::from_slice::<Denied>(&answer.body) {
            Ok(denied) => refused(&denied),
            Err(_) => Refusal::Status(answer.status),
        }),
        status => Err(Refusal::Status(status)),
    }
}

/// RFC 6749 §5.2.
fn refused(denied: &Denied) -> Refusal {
    let text = shown(&format!("{} {}", denied.error, denied.error_description));
    match denied.error.as_str() {
        "invalid_grant" => Refusal::Code(text),
        _ => Refusal::Client(text),
    }
}

fn read_keys(
    provider: &mut Provider,
    answer: Result<Response, Failure>,
    now: UnixTime,
) -> Result<(), Refusal> {
    match answer {
        Ok(answer) if answer.status == 200 => provider.keys.read(&answer.body, now),
        Ok(answer) => Err(Refusal::Status(answer.status)),
        Err(failure) => Err(failure.into()),
    }
}
