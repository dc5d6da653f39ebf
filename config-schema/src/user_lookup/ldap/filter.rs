//! Search filters as people write them (RFC 4515), parsed into a tree that is encoded, never pasted together.

use std::{fmt, str::FromStr};

/// Longest filter, in bytes.
pub const FILTER_MAX: usize = 2_048;
/// Deepest nesting of filters in one another.
pub const FILTER_DEPTH_MAX: usize = 16;

/// A search filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Each of them; at least one.
    And(Vec<Filter>),
    /// One of them; at least one.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// An attribute has something.
    Item {
        /// Its name, with options.
        attribute: String,
        /// What it has.
        test: Test,
    },
    /// A matching rule of the server's.
    Extensible {
        /// Whose values are matched; without one, those that the rule applies to.
        attribute: Option<String>,
        /// The parts of the entry's own name count as attributes, too.
        dn: bool,
        /// The rule; without one, the attribute's own.
        rule: Option<String>,
        /// What is matched.
        value: String,
    },
}

/// What an attribute has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Any value.
    Present,
    /// This value.
    Equal(String),
    /// One that counts as the same.
    Approximate(String),
    /// One that is not less.
    GreaterOrEqual(String),
    /// One that is not greater.
    LessOrEqual(String),
    /// One with these parts in this order; no part is empty, and there is at least one.
    Substrings {
        /// What it begins with.
        initial: Option<String>,
        /// What follows somewhere.
        any: Vec<String>,
        /// What it ends with.
        last: Option<String>,
    },
}

/// A text that is no filter: where, in bytes from its beginning, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a filter (RFC 4515), at byte {at}: {problem}")]
pub struct FilterError {
    /// Where.
    pub at: usize,
    /// What is wrong, and what was expected.
    pub problem: FilterProblem,
}

/// What is wrong with a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterProblem {
    /// Longer than [`FILTER_MAX`].
    #[error("expected at most {FILTER_MAX} bytes")]
    TooLong,
    /// Nested deeper than [`FILTER_DEPTH_MAX`].
    #[error("nested too deep, expected at most {FILTER_DEPTH_MAX} filters in one another")]
    TooDeep,
    /// A filter stands in parentheses.
    #[error("expected `(`")]
    Open,
    /// It ends with one, too.
    #[error("expected `)`")]
    Close,
    /// Something follows the filter.
    #[error("expected nothing behind the filter")]
    Trailing,
    /// Not the name of an attribute.
    #[error("expected the name of an attribute, such as `mail`")]
    Attribute,
    /// Not a matching rule.
    #[error("expected a matching rule, such as `1.2.840.113556.1.4.803`")]
    Rule,
    /// Neither `=` nor one of its kin.
    #[error("expected `=`, `>=`, `<=`, `~=` or `:=`")]
    Operator,
    /// `\` without two hexadecimal digits.
    #[error("expected two hexadecimal digits behind `\\`")]
    Escape,
    /// A character that has to be escaped.
    #[error("this character has to be written as `\\` and two hexadecimal digits")]
    Unescaped,
    /// The value is no text.
    #[error("expected a value that is text in UTF-8")]
    Binary,
    /// Two `*` with nothing between.
    #[error("expected something between two `*`")]
    EmptyPart,
}

impl FromStr for Filter {
    type Err = FilterError;
    fn from_str(text: &str) -> Result<Filter, FilterError> {
        let mut parser = Parser { text, at: 0 };
        if text.len() > FILTER_MAX {
            return Err(FilterError { at: FILTER_MAX, problem: FilterProblem::TooLong });
        }
        let filter = parser.filter(0)?;
        parser.space();
        if parser.at < text.len() { Err(parser.wrong(FilterProblem::Trailing)) } else { Ok(filter) }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn wrong(&self, problem: FilterProblem) -> FilterError {
        FilterError { at: self.at, problem }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// RFC 4515 has none; people who write a long filter on several lines do.
    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn filter(&mut self, depth: usize) -> Result<Filter, FilterError> {
        self.space();
        if depth >= FILTER_DEPTH_MAX {
            return Err(self.wrong(FilterProblem::TooDeep));
        }
        if !self.take("(") {
            return Err(self.wrong(FilterProblem::Open));
        }
        self.space();
        let filter = if self.take("&") {
            Filter::And(self.list(depth + 1)?)
        } else if self.take("|") {
            Filter::Or(self.list(depth + 1)?)
        } else if self.take("!") {
            Filter::Not(Box::new(self.filter(depth + 1)?))
        } else {
            self.item()?
        };
        if !matches!(filter, Filter::Item { .. } | Filter::Extensible { .. }) {
            self.space();
        }
        if !self.take(")") {
            return Err(self.wrong(FilterProblem::Close));
        }
        Ok(filter)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Filter>, FilterError> {
        let mut filters = vec![self.filter(depth)?];
        loop {
            self.space();
            if !self.rest().starts_with('(') {
                return Ok(filters);
            }
            filters.push(self.filter(depth)?);
        }
    }

    fn item(&mut self) -> Result<Filter, FilterError> {
        let start = self.at;
        let name = self.name();
        if self.rest().starts_with(':') {
            return self.extensible(name);
        }
        if !is_attribute(name) {
            return Err(FilterError { at: start, problem: FilterProblem::Attribute });
        }
        let attribute = name.to_owned();
        let test = if self.take(">=") {
            Test::GreaterOrEqual(self.value()?)
        } else if self.take("<=") {
            Test::LessOrEqual(self.value()?)
        } else if self.take("~=") {
            Test::Approximate(self.value()?)
        } else if self.take("=") {
            self.equality()?
        } else {
            return Err(self.wrong(FilterProblem::Operator));
        };
        Ok(Filter::Item { attribute, test })
    }

    /// What may be a name: everything that an attribute or a rule is made of.
    fn name(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn extensible(&mut self, name: &str) -> Result<Filter, FilterError> {
        if !name.is_empty() && !is_attribute(name) {
            return Err(self.wrong(FilterProblem::Attribute));
        }
        let attribute = (!name.is_empty()).then(|| name.to_owned());
        let dn = self.take(":dn:");
        if dn {
            self.at -= 1;
        }
        let rule = if self.rest().starts_with(":=") {
            None
        } else {
            self.take(":");
            let rule = self.name();
            if !is_attribute(rule) {
                return Err(self.wrong(FilterProblem::Rule));
            }
            Some(rule.to_owned())
        };
        if attribute.is_none() && rule.is_none() {
            return Err(self.wrong(FilterProblem::Attribute));
        }
        if !self.take(":=") {
            return Err(self.wrong(FilterProblem::Operator));
        }
        Ok(Filter::Extensible { attribute, dn, rule, value: self.value()? })
    }

    fn equality(&mut self) -> Result<Test, FilterError> {
        let mut parts = vec![self.value()?];
        while self.take("*") {
            parts.push(self.value()?);
        }
        let last = parts.pop().unwrap_or_default();
        if parts.is_empty() {
            return Ok(Test::Equal(last));
        }
        let any = parts.split_off(1);
        let initial = parts.pop().unwrap_or_default();
        if initial.is_empty() && any.is_empty() && last.is_empty() {
            return Ok(Test::Present);
        }
        if any.iter().any(String::is_empty) {
            return Err(self.wrong(FilterProblem::EmptyPart));
        }
        let some = |part: String| (!part.is_empty()).then_some(part);
        Ok(Test::Substrings { initial: some(initial), any, last: some(last) })
    }

    /// Reads a value with its escapes up to `)` or `*`.
    fn value(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let mut value = Vec::new();
        while let Some(c) = self.rest().chars().next() {
            match c {
                ')' | '*' => break,
                '(' | '\0' => return Err(self.wrong(FilterProblem::Unescaped)),
                '\\' => value.push(self.escape()?),
                c => {
                    value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    self.at += c.len_utf8();
                }
            }
        }
        String::from_utf8(value).map_err(|_| FilterError { at: start, problem: FilterProblem::Binary })
    }

    fn escape(&mut self) -> Result<u8, FilterError> {
        let digits = self.rest().get(1..3).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.ok_or_else(|| self.wrong(FilterProblem::Escape))?;
        self.at += 3;
        Ok(byte)
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';')
}

/// RFC 4512 §2.5: a name or a dotted number, perhaps with options.
pub(super) fn is_attribute(text: &str) -> bool {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or_default();
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let named = word(name) && name.starts_with(|c: char| c.is_ascii_alphabetic());
    let numbered = name.contains('.') && name.split('.').all(number);
    (named || numbered) && parts.all(word)
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, sign: &str, filters: &[Filter]| {
            write!(f, "({sign}")?;
            filters.iter().try_for_each(|filter| write!(f, "{filter}"))?;
            f.write_str(")")
        };
        match self {
            Filter::And(filters) => list(f, "&", filters),
            Filter::Or(filters) => list(f, "|", filters),
            Filter::Not(filter) => write!(f, "(!{filter})"),
            Filter::Item { attribute, test } => write!(f, "({attribute}{test})"),
            Filter::Extensible { attribute, dn, rule, value } => {
                write!(f, "({}", attribute.as_deref().unwrap_or_default())?;
                f.write_str(if *dn { ":dn" } else { "" })?;
                if let Some(rule) = rule {
                    write!(f, ":{rule}")?;
                }
                write!(f, ":={})", Escaped(value))
            }
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Test::Present => f.write_str("=*"),
            Test::Equal(value) => write!(f, "={}", Escaped(value)),
            Test::Approximate(value) => write!(f, "~={}", Escaped(value)),
            Test::GreaterOrEqual(value) => write!(f, ">={}", Escaped(value)),
            Test::LessOrEqual(value) => write!(f, "<={}", Escaped(value)),
            Test::Substrings { initial, any, last } => {
                write!(f, "={}*", Escaped(initial.as_deref().unwrap_or_default()))?;
                any.iter().try_for_each(|part| write!(f, "{}*", Escaped(part)))?;
                write!(f, "{}", Escaped(last.as_deref().unwrap_or_default()))
            }
        }
    }
}

/// A value with what RFC 4515 §3 wants escaped, and every control character.
struct Escaped<'v>(&'v str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '(' | ')' | '*' | '\\' | '\0'..='\x1f' | '\x7f' => write!(f, "\\{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
