//! Which system calls a role may make: a text with a reason for each, compiled to a seccomp filter.
//!
//! One call a line, `name | rule | reason`. An empty line and one that begins with `#` say nothing. The rule is
//!
//! - empty: allowed;
//! - `argN = V`, `argN & M = V`, several joined by `and`: allowed if all hold; two lines for one call: if one does;
//! - `refuse ENOSYS` (or EACCES, EPERM): not made, but answered with that error, for libraries that only probe.
//!
//! Arguments are compared as 32 bits, as the kernel reads flags and commands. Whatever is not listed ends the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::syscall_names;

/// A list that was read and compiled.
#[derive(Debug)]
pub struct AllowList {
    entries: Vec<Entry>,
    /// Answers errors; a filter for each error.
    refusals: Vec<BpfProgram>,
    /// The same filter with each way to end.
    kill: BpfProgram,
    report: BpfProgram,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub call: String,
    pub rule: Rule,
    /// Why the role needs it.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    Allow,
    AllowIf(Vec<Condition>),
    /// Answered with this error number.
    Refuse(u16),
}

/// `argument & mask == value`, all of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    pub argument: u8,
    pub mask: u32,
    pub value: u32,
}

/// What happens at a call that is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnForbidden {
    /// The kernel ends the process at once.
    Kill,
    /// The process names the call on its standard error and ends.
    Report,
}

/// Why a list is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    #[error("{list}:{line}: {what}")]
    Line { list: String, line: usize, what: LineError },
    #[error("{list}: lists no call")]
    Empty { list: String },
    #[error("{list}: does not compile: {why}")]
    Compile { list: String, why: String },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("expected `name | rule | reason`")]
    Fields,
    #[error("no system call is named {0:?}")]
    UnknownCall(String),
    #[error("{0:?} has no reason")]
    NoReason(String),
    #[error("{0:?} is no rule")]
    Rule(String),
    #[error("{0:?} is listed twice, once without a condition")]
    Twice(String),
}

impl AllowList {
    /// Reads and compiles a list; `name` is for errors.
    pub fn parse(name: &str, text: &str) -> Result<AllowList, AllowListError> {
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = Entry::parse(line)
                .and_then(|entry| match entries.iter().find(|known| known.conflicts_with(&entry)) {
                    Some(known) => Err(LineError::Twice(known.call.clone())),
                    None => Ok(entry),
                })
                .map_err(|what| AllowListError::Line { list: name.into(), line: index + 1, what })?;
            entries.push(entry);
        }
        if entries.is_empty() {
            return Err(AllowListError::Empty { list: name.into() });
        }
        compile(entries)
            .map_err(|error| AllowListError::Compile { list: name.into(), why: error.to_string() })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// From here on this thread, and those that it makes, can only make the listed calls. Needs `no_new_privs`,
    /// or sets it.
    pub fn enforce(&self, on_forbidden: OnForbidden) -> io::Result<()> {
        if on_forbidden == OnForbidden::Report {
            report::install()?;
        }
        // The last one forbids to add another.
        for refusal in &self.refusals {
            seccompiler::apply_filter(refusal).map_err(io::Error::other)?;
        }
        let filter = match on_forbidden {
            OnForbidden::Kill => &self.kill,
            OnForbidden::Report => &self.report,
        };
        seccompiler::apply_filter(filter).map_err(io::Error::other)
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Entry, LineError> {
        let mut fields = line.splitn(3, '|').map(str::trim);
        let (Some(call), Some(rule), Some(reason)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(LineError::Fields);
        };
        if syscall_names::number(call).is_none() {
            return Err(LineError::UnknownCall(call.into()));
        }
        if reason.is_empty() {
            return Err(LineError::NoReason(call.into()));
        }
        let rule = Rule::parse(rule).ok_or_else(|| LineError::Rule(rule.into()))?;
        Ok(Entry { call: call.into(), rule, reason: reason.into() })
    }

    fn conflicts_with(&self, other: &Entry) -> bool {
        let conditional = |entry: &Entry| matches!(entry.rule, Rule::AllowIf(_));
        self.call == other.call && !(conditional(self) && conditional(other))
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        if text.is_empty() {
            return Some(Rule::Allow);
        }
        match text.strip_prefix("refuse ").map(str::trim) {
            Some("ENOSYS") => Some(Rule::Refuse(libc::ENOSYS as u16)),
            Some("EACCES") => Some(Rule::Refuse(libc::EACCES as u16)),
            Some("EPERM") => Some(Rule::Refuse(libc::EPERM as u16)),
            Some(_) => None,
            None => text.split(" and ").map(Condition::parse).collect::<Option<_>>().map(Rule::AllowIf),
        }
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Condition> {
        let (left, value) = text.split_once('=')?;
        let (argument, mask) = match left.split_once('&') {
            Some((argument, mask)) => (argument, number(mask)?),
            None => (left, u32::MAX),
        };
        let argument = argument.trim().strip_prefix("arg")?.parse().ok().filter(|&number| number < 6)?;
        Some(Condition { argument, mask, value: number(value)? })
    }

    fn compile(self) -> Result<SeccompCondition, seccompiler::BackendError> {
        let operation = SeccompCmpOp::MaskedEq(self.mask.into());
        SeccompCondition::new(self.argument, SeccompCmpArgLen::Dword, operation, self.value.into())
    }
}

fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn compile(entries: Vec<Entry>) -> Result<AllowList, seccompiler::BackendError> {
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut refused: BTreeMap<u16, BTreeMap<i64, Vec<SeccompRule>>> = BTreeMap::new();
    for entry in &entries {
        // Every entry's name was looked up when its line was read.
        let Some(call) = syscall_names::number(&entry.call) else { continue };
        let rules = allowed.entry(call).or_default();
        match &entry.rule {
            Rule::Allow => {}
            Rule::AllowIf(conditions) => {
                let conditions = conditions.iter().map(|condition| condition.compile());
                rules.push(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?);
            }
            // Of several filters' answers the strictest counts, and an error is stricter than to allow.
            Rule::Refuse(error) => {
                refused.entry(*error).or_default().insert(call, Vec::new());
            }
        }
    }
    let program = |rules, mismatch, matched| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(rules, mismatch, matched, TargetArch::x86_64)?.try_into()
    };
    let refusals = refused
        .into_iter()
        .map(|(error, calls)| program(calls, SeccompAction::Allow, SeccompAction::Errno(error.into())))
        .collect::<Result<_, _>>()?;
    Ok(AllowList {
        kill: program(allowed.clone(), SeccompAction::KillProcess, SeccompAction::Allow)?,
        report: program(allowed, SeccompAction::Trap, SeccompAction::Allow)?,
        refusals,
        entries,
    })
}

/// Says which call it was, from within the signal that the kernel raises in its place.
mod report {
    use std::io;

    /// Where `si_syscall` lies in `siginfo_t` of x86-64: after three ints, padding, and the address of the call.
    const SI_SYSCALL: usize = 24;

    pub(super) fn install() -> io::Result<()> {
        // SAFETY: an all-zero `sigaction` is a valid one: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void) = on_sigsys;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `action` is initialised, its handler has the type that SA_SIGINFO asks for and makes only calls
        // that are safe in a signal handler.
        match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    extern "C" fn on_sigsys(_: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
        // SAFETY: the kernel hands a whole `siginfo_t`, 128 bytes, and fills this field for SIGSYS.
        let number = unsafe { info.byte_add(SI_SYSCALL).cast::<libc::c_int>().read() };
        let name = super::syscall_names::name(number.into()).unwrap_or("unknown");
        let mut digits = [0; 10];
        let parts: [&[u8]; 5] =
            [b"forbidden system call: ", name.as_bytes(), b" (", decimal(number, &mut digits), b")\n"];
        for part in parts {
            // SAFETY: the pointer and length are those of a live slice.
            unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
        }
        // SAFETY: ends the process; no memory is touched afterwards.
        unsafe { libc::_exit(128 + libc::SIGSYS) }
    }

    /// Without allocation: this runs in a signal handler.
    fn decimal(number: libc::c_int, digits: &mut [u8; 10]) -> &[u8] {
        let mut rest = number.unsigned_abs();
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return &digits[first..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> LineError {
        match AllowList::parse("test", text) {
            Err(AllowListError::Line { line: 1, what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_says_call_rule_and_reason() {
        let list =
            AllowList::parse("test", "# why\n\nclone | arg0 & 0x10000 = 0x10000 and arg1 = 7 | threads\n")
                .unwrap();
        let threads = Condition { argument: 0, mask: 0x10000, value: 0x10000 };
        let seven = Condition { argument: 1, mask: u32::MAX, value: 7 };
        let rule = Rule::AllowIf(vec![threads, seven]);
        assert_eq!(list.entries(), [Entry { call: "clone".into(), rule, reason: "threads".into() }]);
    }

    #[test]
    fn a_list_without_a_call_is_an_error() {
        for text in ["", "\n\n", "# read | | data\n"] {
            assert_eq!(
                AllowList::parse("test", text).unwrap_err(),
                AllowListError::Empty { list: "test".into() }
            );
        }
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(mistake("read"), LineError::Fields);
        assert_eq!(mistake("read | data"), LineError::Fields);
        assert_eq!(mistake("raed | | data"), LineError::UnknownCall("raed".into()));
        assert_eq!(mistake("read | | "), LineError::NoReason("read".into()));
        for rule in ["refuse EIO", "arg6 = 1", "arg0", "arg0 = x", "arg0 & = 1", "0 = 1"] {
            assert_eq!(mistake(&format!("read | {rule} | data")), LineError::Rule(rule.into()));
        }
        let twice = AllowList::parse("test", "read | | data\nread | arg0 = 1 | again");
        assert!(matches!(twice, Err(AllowListError::Line { line: 2, what: LineError::Twice(_), .. })));
    }
}
