//! What a booted image does, seen from outside. Ignored where there is no image.

mod boot;
mod console;
mod disk;
mod mail;
mod power;
mod recipients;
mod reproducible;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One guest at a time: emulation takes a processor for each.
    arguments.test_threads.get_or_insert(1);
    let ignored = qemu_tests::results().is_none();
    if ignored {
        eprintln!(
            "POSTERN_IMAGE names no build: the image's tests are ignored. Run `cargo postern test image`."
        );
    }
    let tests = [
        boot::TESTS,
        console::TESTS,
        disk::TESTS,
        mail::TESTS,
        power::TESTS,
        recipients::TESTS,
        reproducible::TESTS,
    ]
    .concat();
    let trials =
        tests.into_iter().map(|(name, test)| Trial::test(name, test).with_ignored_flag(ignored)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
