//! A Kconfig fragment, and whether a resolved configuration holds every line of it.

use std::collections::HashSet;
use std::fmt;

/// What the resolved configuration must hold.
#[derive(Debug)]
pub struct Fragment(Vec<Line>);

#[derive(Debug)]
struct Line {
    number: usize,
    text: String,
    wants: Wants,
}

#[derive(Debug)]
enum Wants {
    /// The line stands there word for word.
    Verbatim,
    /// No line begins with this: the option is absent or off.
    No(String),
}

/// The first line of the fragment that the resolved configuration does not hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unheld {
    number: usize,
    text: String,
    found: Option<String>,
}

impl Fragment {
    /// Reads the lines `CONFIG_X=…` and `# CONFIG_X is not set`; other lines are comments.
    pub fn parse(text: &str) -> Self {
        Fragment(text.lines().zip(1..).filter_map(|(text, number)| Line::parse(number, text)).collect())
    }

    /// Checks a `.config` as `make olddefconfig` leaves it.
    ///
    /// # Errors
    /// The first line that does not hold.
    pub fn check(&self, resolved: &str) -> Result<(), Unheld> {
        let lines: HashSet<&str> = resolved.lines().collect();
        for line in &self.0 {
            let (holds, option) = match &line.wants {
                Wants::Verbatim => {
                    let option = line.text.split_inclusive('=').next().unwrap_or(&line.text);
                    (lines.contains(line.text.as_str()), option)
                }
                Wants::No(option) => {
                    (!resolved.lines().any(|line| line.starts_with(option)), option.as_str())
                }
            };
            if !holds {
                let found = resolved.lines().find(|line| line.starts_with(option)).map(str::to_owned);
                return Err(Unheld { number: line.number, text: line.text.clone(), found });
            }
        }
        Ok(())
    }
}

impl Line {
    fn parse(number: usize, text: &str) -> Option<Self> {
        let text = text.trim_end();
        let wants = if text.starts_with("CONFIG_") {
            Wants::Verbatim
        } else {
            let option = text.strip_prefix("# CONFIG_")?.strip_suffix(" is not set")?;
            Wants::No(format!("CONFIG_{option}="))
        };
        Some(Line { number, text: text.to_owned(), wants })
    }
}

impl fmt::Display for Unheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "hardened.fragment:{}: `{}` does not hold in the resolved configuration: ",
            self.number, self.text
        )?;
        match &self.found {
            Some(found) => write!(f, "there stands `{found}`"),
            None => write!(f, "the option is absent; one that it depends on may be off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: &str = "# A comment\nCONFIG_NET=y\n# CONFIG_INET is not set\nCONFIG_BITS=32\n";

    fn check(resolved: &str) -> Result<(), Unheld> {
        Fragment::parse(FRAGMENT).check(resolved)
    }

    #[test]
    fn off_may_be_said_or_absent() {
        assert_eq!(check("CONFIG_BITS=32\nCONFIG_NET=y\n"), Ok(()));
        assert_eq!(check("CONFIG_BITS=32\nCONFIG_NET=y\n# CONFIG_INET is not set\n"), Ok(()));
    }

    #[test]
    fn an_option_with_a_longer_name_is_another() {
        assert_eq!(check("CONFIG_NET=y\nCONFIG_BITS=32\nCONFIG_INET_AH=y\n"), Ok(()));
    }

    #[test]
    fn a_dropped_line_is_named() {
        let error = check("CONFIG_BITS=32\n").unwrap_err().to_string();
        assert!(error.starts_with("hardened.fragment:2: `CONFIG_NET=y` does not hold"), "{error}");
        assert!(error.ends_with("one that it depends on may be off"), "{error}");
    }

    #[test]
    fn a_changed_value_is_shown() {
        let error = check("CONFIG_NET=y\nCONFIG_BITS=28\n").unwrap_err().to_string();
        assert!(
            error.contains(":4: `CONFIG_BITS=32`") && error.ends_with("there stands `CONFIG_BITS=28`"),
            "{error}"
        );
    }

    #[test]
    fn what_must_be_off_may_not_be_on() {
        let error = check("CONFIG_NET=y\nCONFIG_BITS=32\nCONFIG_INET=y\n").unwrap_err().to_string();
        assert!(error.contains(":3:") && error.ends_with("there stands `CONFIG_INET=y`"), "{error}");
    }
}
