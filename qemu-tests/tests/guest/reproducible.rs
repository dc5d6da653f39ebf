//! The same source gives the same bits, in another folder too.

use std::fs;
use std::path::Path;

use image::executable;
use image::kernel::Kernel;
use image::workspace::{Scratch, Workspace};
use libtest_mimic::Failed;
use qemu_tests::results;

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("reproducible::executable_in_another_folder", executable_in_another_folder),
    ("reproducible::boot_file_and_disk_image", boot_file_and_disk_image),
];

fn executable_in_another_folder() -> Result<(), Failed> {
    let results = results().ok_or("no build")?;
    let scratch = Scratch::new("second-clone")?;
    let clone = Workspace::of_this_clone()?.copied_to(&scratch.path().join("elsewhere"))?;
    let again = executable::build(&clone)?;
    same(&results.executable, &again)
}

fn boot_file_and_disk_image() -> Result<(), Failed> {
    let results = results().ok_or("no build")?;
    let scratch = Scratch::new("again")?;
    let (efi, disk) = (scratch.path().join("postern.efi"), scratch.path().join("postern.img"));
    let kernel = Kernel::built(&Workspace::of_this_clone()?)?;
    // Another program in between: linking must leave nothing behind.
    let other = scratch.path().join("other");
    fs::write(&other, "another program")?;
    kernel.link(&other, &efi)?;
    kernel.link(&results.executable, &efi)?;
    same(&results.efi, &efi)?;
    image::disk::build(&efi, &disk)?;
    same(&results.image, &disk)
}

fn same(one: &Path, other: &Path) -> Result<(), Failed> {
    let (first, second) = (fs::read(one)?, fs::read(other)?);
    let differing = first.iter().zip(&second).filter(|(a, b)| a != b).count();
    if first == second {
        return Ok(());
    }
    let place = first.iter().zip(&second).position(|(a, b)| a != b);
    let (one, other) = (one.display(), other.display());
    Err(format!(
        "{one} ({} bytes) and {other} ({} bytes) differ in {differing} bytes, first at {place:?}",
        first.len(),
        second.len()
    )
    .into())
}
