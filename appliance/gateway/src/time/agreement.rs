//! What several servers say together, and what is done about it.

use super::packet::Sample;

/// Microseconds by which honest servers may differ beside what their ways explain.
const TOLERANCE: i64 = 100_000;
/// Microseconds: beyond it a clock that was set once is not moved, but an alarm is raised.
pub const ALARM: i64 = 1_000_000;
/// Microseconds by which a clock that was set once is moved in one round, so that no second is lost or lived twice.
pub const SLEW_MAX: i64 = 50_000;

/// What is to be done with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Move it by so many microseconds, whatever they are: it was not set before.
    Step(i64),
    /// Move it by so many microseconds, at most [`SLEW_MAX`] either way.
    Slew(i64),
    /// It is off by so many microseconds, more than may be put right in silence.
    Alarm(i64),
    /// The servers do not agree, or too few answered.
    Unsure,
}

/// Draws the conclusion from the samples of a round in which `asked` servers were asked.
pub fn advise(samples: &[Sample], asked: usize, was_set: bool) -> Advice {
    let Some(offset) = agreed(samples, asked) else { return Advice::Unsure };
    match was_set {
        false => Advice::Step(offset),
        true if offset.abs() > ALARM => Advice::Alarm(offset),
        true => Advice::Slew(offset.clamp(-SLEW_MAX, SLEW_MAX)),
    }
}

/// The median of what more than half of the servers asked agree on: one that lies, or is silent, does not matter
/// among three.
fn agreed(samples: &[Sample], asked: usize) -> Option<i64> {
    let mut offsets: Vec<i64> = samples.iter().map(|sample| sample.offset).collect();
    offsets.sort_unstable();
    let median = *offsets.get(offsets.len() / 2)?;
    let near =
        |sample: &&Sample| sample.offset.abs_diff(median) <= (TOLERANCE + sample.delay / 2).unsigned_abs();
    let mut truthful: Vec<i64> = samples.iter().filter(near).map(|sample| sample.offset).collect();
    if truthful.len() * 2 <= asked {
        return None;
    }
    truthful.sort_unstable();
    truthful.get(truthful.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(offsets: &[i64]) -> Vec<Sample> {
        offsets.iter().map(|offset| Sample { offset: *offset, delay: 20_000 }).collect()
    }

    #[test]
    fn a_liar_among_three_is_outvoted() {
        for offsets in [[10, 20, 90_000_000], [-90_000_000, 10, 20], [10, 90_000_000, 20]] {
            let Advice::Step(offset) = advise(&samples(&offsets), 3, false) else { panic!("{offsets:?}") };
            assert!(offset.abs() <= 20);
        }
    }

    #[test]
    fn without_a_majority_nothing_is_done() {
        for (offsets, asked) in [
            (vec![], 3),
            (vec![5], 3),
            (vec![5, 9_000_000], 2),
            (vec![5, 9_000_000, 18_000_000], 3),
            (vec![5, 6, 9_000_000, 9_000_001], 4),
        ] {
            assert_eq!(advise(&samples(&offsets), asked, false), Advice::Unsure, "{offsets:?}");
        }
        assert_eq!(advise(&samples(&[7]), 1, false), Advice::Step(7), "who names one server trusts it");
    }

    #[test]
    fn a_clock_is_set_once_and_moved_gently_afterwards() {
        let far = samples(&[5_000_000; 3]);
        assert_eq!(advise(&far, 3, false), Advice::Step(5_000_000));
        assert_eq!(advise(&far, 3, true), Advice::Alarm(5_000_000));
        assert_eq!(advise(&samples(&[-ALARM; 3]), 3, true), Advice::Slew(-SLEW_MAX));
        assert_eq!(advise(&samples(&[-ALARM - 1; 3]), 3, true), Advice::Alarm(-ALARM - 1));
        assert_eq!(advise(&samples(&[300; 3]), 3, true), Advice::Slew(300));
    }
}
