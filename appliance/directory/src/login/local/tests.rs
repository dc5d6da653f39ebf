use config_schema::{Secret, TotpSecret, password};
use proptest::prelude::*;

use super::{totp, *};
use crate::login::UnixTime;

/// `12345678901234567890`, the key of RFC 6238's appendix B.
const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn key() -> TotpSecret {
    TotpSecret::parse(KEY).unwrap()
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

#[test]
fn codes_are_those_of_the_rfc() {
    // RFC 6238, appendix B, SHA-1, the last six of eight digits.
    for (seconds, code) in [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ] {
        assert_eq!(totp::code(&key(), seconds / 30), code, "{seconds}");
        let mut factor = SecondFactor::default();
        assert_eq!(factor.check(Some(&key()), Some(code), at(seconds)), SecondCheck::Right);
    }
}

#[test]
fn a_code_is_taken_once_and_only_near_its_time() {
    let now = 1_234_567_890;
    let check = |factor: &mut SecondFactor, step: i64| {
        let code = totp::code(&key(), (now / 30u64).checked_add_signed(step).unwrap());
        factor.check(Some(&key()), Some(&code), at(now))
    };
    for (step, expected) in [
        (-2, SecondCheck::Wrong),
        (-1, SecondCheck::Right),
        (0, SecondCheck::Right),
        (1, SecondCheck::Right),
        (2, SecondCheck::Wrong),
    ] {
        assert_eq!(check(&mut SecondFactor::default(), step), expected, "{step}");
    }
    let mut factor = SecondFactor::default();
    assert_eq!(check(&mut factor, 0), SecondCheck::Right);
    assert_eq!(check(&mut factor, 0), SecondCheck::Wrong, "again");
    assert_eq!(check(&mut factor, -1), SecondCheck::Wrong, "an older one");
    assert_eq!(check(&mut factor, 1), SecondCheck::Right, "the next one");
}

#[test]
fn without_a_key_nothing_is_asked_and_with_one_always() {
    let mut factor = SecondFactor::default();
    assert_eq!(factor.check(None, None, at(0)), SecondCheck::NotAsked);
    for code in [None, Some(""), Some("  ")] {
        assert_eq!(factor.check(Some(&key()), code, at(0)), SecondCheck::Missing);
    }
    for code in ["12345", "1234567", "abcdef", "２８７０８２", &"9".repeat(100_000)] {
        assert_eq!(factor.check(Some(&key()), Some(code), at(59)), SecondCheck::Wrong);
    }
    assert_eq!(factor.check(Some(&key()), Some("287 082"), at(59)), SecondCheck::Right);
}

#[test]
fn enrolment_counts_only_once_a_code_confirms_it() {
    let mut factor = SecondFactor::default();
    assert_eq!(factor.confirm("287082", at(59)), Enrolment::Wrong);
    let secret = factor.offer().unwrap();
    assert_eq!(factor.check(None, None, at(59)), SecondCheck::NotAsked);
    assert_eq!(factor.confirm("000000", at(0)), Enrolment::Wrong);
    let now = at(3_000_000_000);
    let Enrolment::Done { recovery_codes } = factor.confirm(&totp::code(&secret, 100_000_000), now) else {
        panic!("the code is right")
    };
    assert_eq!(recovery_codes.len(), RECOVERY_CODES);
    assert!(factor.is_enrolled());
    assert_eq!(factor.check(None, None, now), SecondCheck::Missing);
    let next = totp::code(&secret, 100_000_001);
    assert_eq!(factor.check(None, Some(&next), now), SecondCheck::Right);

    let kept = postcard::to_allocvec(&factor).unwrap();
    assert!(kept.len() < 1_024, "{}", kept.len());
    assert_eq!(postcard::from_bytes::<SecondFactor>(&kept).unwrap(), factor);
    assert!(!format!("{factor:?}").contains(secret.base32().expose()));

    factor.reset();
    assert_eq!(factor.check(None, None, now), SecondCheck::NotAsked);
    assert_eq!(factor.check(Some(&secret), Some(&next), now), SecondCheck::Wrong, "it was used");
}

#[test]
fn a_recovery_code_works_once() {
    let mut factor = SecondFactor::default();
    let secret = factor.offer().unwrap();
    let Enrolment::Done { recovery_codes: codes } = factor.confirm(&totp::code(&secret, 1), at(30)) else {
        panic!("the code is right")
    };
    assert!(codes.iter().all(|code| code.len() == 19), "{codes:?}");
    let lower = codes[3].to_lowercase().replace('-', " ");
    assert_eq!(factor.check(None, Some(&lower), at(60)), SecondCheck::Recovered { left: 9 });
    assert_eq!(factor.check(None, Some(&codes[3]), at(60)), SecondCheck::Wrong);
    for (at_code, code) in codes.iter().enumerate().filter(|(at_code, _)| *at_code != 3) {
        assert!(matches!(factor.check(None, Some(code), at(60)), SecondCheck::Recovered { .. }), "{at_code}");
    }
    assert_eq!(factor.recovery_codes_left(), 0);
    let renewed = factor.renew_recovery_codes().unwrap();
    assert_eq!(factor.check(None, Some(&codes[0]), at(60)), SecondCheck::Wrong);
    assert_eq!(factor.check(None, Some(&renewed[0]), at(60)), SecondCheck::Recovered { left: 9 });
}

#[test]
fn an_authenticator_is_told_everything() {
    assert_eq!(
        enrolment_url(&key(), "ann@example.com", "Postern mx & co"),
        format!(
            "otpauth://totp/Postern%20mx%20%26%20co:ann%40example.com?secret={KEY}\
             &issuer=Postern%20mx%20%26%20co&algorithm=SHA1&digits=6&period=30"
        )
    );
}

#[test]
fn two_hashes_are_made_at_once_and_no_more() {
    let hashing = Hashing::default();
    let permits: Vec<HashPermit> = (0..HASHES_MAX).map(|_| hashing.permit().unwrap()).collect();
    assert!(hashing.clone().permit().is_none());
    drop(permits);
    assert!(hashing.permit().is_some());
}

#[test]
fn a_password_is_checked_and_nobody_has_one() {
    let permit = Hashing::default().permit().unwrap();
    let right = Secret::new("correct horse");
    let hash = password::hash(&right).unwrap();
    assert!(check_password(&permit, Some(&hash), &right));
    assert!(!check_password(&permit, Some(&hash), &Secret::new("incorrect horse")));
    assert!(!check_password(&permit, None, &right));
}

#[test]
fn a_user_that_does_not_exist_costs_as_much_as_one_that_does() {
    let cost = |hash: &str| hash.rsplitn(3, '$').last().map(str::to_owned);
    let known = password::hash(&Secret::new("correct horse")).unwrap();
    assert_eq!(cost(known.expose()), cost(hashing::NOBODY));
    // A hash that were not understood would cost nothing.
    let (known, nobody) = (known.expose().len(), hashing::NOBODY.len());
    assert_eq!(known, nobody);
    assert!(password::is_hash(hashing::NOBODY));
}

proptest! {
    #[test]
    fn no_code_panics_and_none_is_taken_twice(codes in proptest::collection::vec("\\PC{0,24}", 0..20), start in 0u64..u64::MAX / 2) {
        let mut factor = SecondFactor::default();
        let mut now = start;
        for code in &codes {
            if factor.check(Some(&key()), Some(code), at(now)) == SecondCheck::Right {
                prop_assert_eq!(factor.check(Some(&key()), Some(code), at(now)), SecondCheck::Wrong);
            }
            now += 7;
        }
    }

    #[test]
    fn whatever_order_codes_come_in_each_step_counts_once(steps in proptest::collection::vec(0u64..12, 1..40)) {
        let mut factor = SecondFactor::default();
        let mut taken = Vec::new();
        for step in steps {
            let code = totp::code(&key(), 1_000 + step);
            if factor.check(Some(&key()), Some(&code), at((1_000 + step) * 30)) == SecondCheck::Right {
                prop_assert!(taken.iter().all(|earlier| *earlier < step));
                taken.push(step);
            }
        }
        prop_assert!(!taken.is_empty());
    }
}
