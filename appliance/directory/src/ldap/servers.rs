//! Which server of a directory is tried next: the first in the configuration that has not failed lately.

use std::time::Duration;

use smtp::Time;

/// How long a server is left alone after its first failure; doubled with each further one.
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// How long all are left alone after one refused our own name and password: many directories lock an account after a
/// few wrong ones within half an hour.
pub const REFUSED_FOR: Duration = Duration::from_secs(600);

/// How each server stands, in the order of the configuration.
#[derive(Debug, Clone)]
pub struct Servers(Vec<Standing>);

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    failures: u32,
    not_before: Time,
}

impl Servers {
    /// So many servers that have not been tried.
    pub fn new(count: usize) -> Servers {
        Servers(vec![Standing::default(); count])
    }

    /// Those that may be tried now, the first first.
    pub fn to_try(&self, now: Time) -> Vec<usize> {
        let fit = self.0.iter().enumerate().filter(|(_, standing)| now >= standing.not_before);
        fit.map(|(at, _)| at).collect()
    }

    /// When the next one may be tried.
    pub fn next_try(&self) -> Option<Time> {
        self.0.iter().map(|standing| standing.not_before).min()
    }

    /// A server answered.
    pub fn served(&mut self, server: usize) {
        if let Some(standing) = self.0.get_mut(server) {
            *standing = Standing::default();
        }
    }

    /// A server could not be reached, or was of no use.
    pub fn failed(&mut self, server: usize, now: Time) {
        if let Some(standing) = self.0.get_mut(server) {
            let wait = BACK_OFF_FIRST.saturating_mul(1 << standing.failures.min(16)).min(BACK_OFF_MAX);
            standing.failures = standing.failures.saturating_add(1);
            standing.not_before = standing.not_before.max(now + wait);
        }
    }

    /// A server refused our own name and password, as the others would.
    pub fn refused(&mut self, now: Time) {
        for standing in &mut self.0 {
            standing.not_before = standing.not_before.max(now + REFUSED_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_that_has_not_failed_is_tried_first() {
        let mut servers = Servers::new(3);
        assert_eq!(servers.to_try(at(0)), [0, 1, 2]);
        servers.failed(0, at(0));
        assert_eq!(servers.to_try(at(0)), [1, 2]);
        assert_eq!(servers.to_try(at(1)), [0, 1, 2]);
        servers.served(0);
        servers.failed(1, at(1));
        assert_eq!(servers.to_try(at(1)), [0, 2]);
    }

    #[test]
    fn a_server_that_keeps_failing_is_left_alone_longer_up_to_a_minute() {
        let mut servers = Servers::new(1);
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            servers.failed(0, at(now));
            assert_eq!(servers.to_try(at(now + wait - 1)), [0; 0], "{wait}");
            assert_eq!(servers.next_try(), Some(at(now + wait)));
            now += wait;
        }
        (0..100).for_each(|_| servers.failed(0, at(now)));
        assert_eq!(servers.to_try(at(now + 60)), [0]);
    }

    #[test]
    fn a_wrong_password_of_ours_is_not_tried_at_the_next_server() {
        let mut servers = Servers::new(2);
        servers.refused(at(0));
        assert_eq!(servers.to_try(at(599)), [0; 0]);
        assert_eq!(servers.to_try(at(600)), [0, 1]);
    }
}
