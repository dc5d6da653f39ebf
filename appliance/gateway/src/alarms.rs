//! What an administrator must look at: one line for each cause, until it is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Causes that are shown at a time; further ones stand in the log alone.
pub const ALARMS_MAX: usize = 200;

/// The alarms that hold now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Alarms(Arc<Mutex<BTreeMap<String, String>>>);

impl Alarms {
    /// Raises the alarm about `cause`, or gives it a new text; whether there was none about it.
    pub fn raise(&self, cause: &str, text: &str) -> bool {
        let mut alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alarms.len() >= ALARMS_MAX && !alarms.contains_key(cause) {
            return false;
        }
        alarms.insert(cause.to_owned(), text.to_owned()).is_none()
    }

    /// The cause is gone; false if there was no such alarm.
    pub fn clear(&self, cause: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(cause).is_some()
    }

    /// A line for each, in the order of their causes.
    pub fn lines(&self) -> Vec<String> {
        let alarms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.iter().map(|(cause, text)| format!("{cause}: {text}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_shown_once_until_it_is_over() {
        let alarms = Alarms::default();
        assert!(alarms.raise("b", "first"));
        assert!(!alarms.raise("b", "second"));
        alarms.raise("a", "other");
        assert_eq!(alarms.lines(), ["a: other", "b: second"]);
        assert!(alarms.clear("b") && !alarms.clear("b"));
        assert_eq!(alarms.lines(), ["a: other"]);
    }

    #[test]
    fn there_are_not_too_many() {
        let alarms = Alarms::default();
        for n in 0..ALARMS_MAX + 10 {
            alarms.raise(&format!("{n:04}"), "");
        }
        assert!(!alarms.raise("0000", "known") && !alarms.raise("one more", ""));
        assert_eq!(alarms.lines().len(), ALARMS_MAX);
        assert!(alarms.lines().contains(&"0000: known".to_owned()));
    }
}
