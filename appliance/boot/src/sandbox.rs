//! The rooms that roles live in: what each gives up before its program runs.

use std::io;

use sys::allow_list::{AllowList, AllowListError};
use sys::landlock::{self, Landlock};
use sys::privilege::{self, Limits};

pub use sys::allow_list::OnForbidden;

use crate::role::Role;

/// A role's sandbox, read and compiled before the fork.
#[derive(Debug)]
pub struct Sandbox {
    user: u32,
    limits: Limits,
    calls: AllowList,
}

/// What the surroundings may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// The image: every part holds, or the role does not run.
    Whole,
    /// A developer's machine: what needs root or a kernel with Landlock is left out where there is none.
    AsFarAsAllowed,
}

/// Descriptors of `net`: two for each of 10,000 connections, their sockets in flight, and as much again.
const NET_DESCRIPTORS: u64 = 65_536;
/// Descriptors of `gateway`: a stream for each connection, in and out.
const GATEWAY_DESCRIPTORS: u64 = 65_536;

impl Sandbox {
    pub fn of(role: Role) -> Result<Sandbox, AllowListError> {
        let (name, text, user, limits) = match role {
            Role::Net => (
                "net.allow",
                include_str!("../sandbox/net.allow"),
                1001,
                Limits { descriptors: NET_DESCRIPTORS, file_size: Some(0) },
            ),
            // A hosted store is a file.
            Role::Gateway => (
                "gateway.allow",
                include_str!("../sandbox/gateway.allow"),
                1002,
                Limits { descriptors: GATEWAY_DESCRIPTORS, file_size: None },
            ),
        };
        Ok(Sandbox { user, limits, calls: AllowList::parse(name, text)? })
    }

    /// The list of calls, each with its reason.
    pub fn calls(&self) -> &AllowList {
        &self.calls
    }

    /// Gives everything up, for ever. For a fresh child of one thread that holds only its own descriptors.
    ///
    /// On an error the child must end: it may have given up a part only.
    pub fn enter(&self, strictness: Strictness, on_forbidden: OnForbidden) -> io::Result<()> {
        privilege::limit(self.limits).map_err(during("limits"))?;
        privilege::leave_session().map_err(during("session"))?;
        privilege::no_new_privileges().map_err(during("no new privileges"))?;
        if strictness == Strictness::Whole || privilege::is_root() {
            let left = privilege::empty_bounding_set()
                .map_err(during("bounding set"))
                .and_then(|()| privilege::become_user(self.user).map_err(during("user")));
            // Root of a user namespace may lack other users; without capabilities it is nobody in particular.
            if strictness == Strictness::Whole {
                left?;
            }
        }
        privilege::drop_capabilities().map_err(during("capabilities"))?;
        privilege::die_with_parent().map_err(during("death signal"))?;
        privilege::not_dumpable().map_err(during("dumps"))?;
        let landlock = landlock::forbid_all().map_err(during("Landlock"))?;
        if strictness == Strictness::Whole && landlock == Landlock::Absent {
            return Err(io::Error::other("Landlock: the kernel has none"));
        }
        self.calls.enforce(on_forbidden).map_err(during("system calls"))
    }
}

fn during(part: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{part}: {error}"))
}
