//! What the guest does with its disk.

use std::time::Duration;

use libtest_mimic::Failed;
use qemu_tests::{DISK_SIZE, POWER_OFF_MAX, Site, Start};

use crate::Test;

pub(crate) const TESTS: &[(&str, Test)] = &[("disk::data_partition_is_grown", data_partition_is_grown)];

fn data_partition_is_grown() -> Result<(), Failed> {
    let site = Site::new("mx.example.com")?;
    let (mut guest, _) = site.boot_to_greeting(Start::Kernel, Duration::ZERO)?;
    guest.press_power_button()?;
    guest.wait_for_end(POWER_OFF_MAX)?;
    let data = site.data_partition()?;
    let size = data.end - data.start;
    // What else is on the disk: the system partition, the table twice, and alignment.
    let others = (image::disk::SYSTEM_MIB + 3) << 20;
    if size < DISK_SIZE - others {
        return Err(format!("the data partition has {size} bytes on a disk of {DISK_SIZE}").into());
    }
    Ok(())
}
