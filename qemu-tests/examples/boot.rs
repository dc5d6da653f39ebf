//! Measures power-on to the SMTP greeting, and the sizes of what was built. Needs `POSTERN_IMAGE`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use qemu_tests::{Site, Start, results};
use serde_json::json;

#[derive(Debug, Parser)]
struct CommandLine {
    /// Write the figures here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let command_line = CommandLine::parse();
    let built = results().ok_or("POSTERN_IMAGE names no build")?;
    let kernel = median(Start::Kernel)?;
    let uefi = median(Start::Uefi)?;
    let bios = median(Start::Bios)?;
    let (efi, executable) = (fs::metadata(&built.efi)?.len(), fs::metadata(&built.executable)?.len());
    println!(
        "power-on to greeting, median of {RUNS}, one emulated processor, {} MiB:",
        image::machine::MEMORY
    );
    println!(
        "  UEFI disk     {uefi:6.2} s   (target 6 s)\n  BIOS disk     {bios:6.2} s\n  qemu -kernel  {kernel:6.2} s"
    );
    println!("boot file {:.1} MiB (target 16 MiB), executable {:.1} MiB", mib(efi), mib(executable));
    if let Some(file) = command_line.json {
        let figures = json!({
            "seconds": { "uefi": uefi, "bios": bios, "kernel": kernel },
            "bytes": { "boot_file": efi, "executable": executable },
        });
        fs::write(file, figures.to_string())?;
    }
    Ok(())
}

/// Of a first boot, each time from a fresh disk.
fn median(start: Start) -> Result<f64, Box<dyn Error>> {
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let site = Site::new("mx.example.com")?;
        let started = Instant::now();
        let guest = site.boot_to_greeting(start, Duration::ZERO)?;
        seconds.push(started.elapsed().as_secs_f64());
        drop(guest);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[RUNS / 2])
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

const RUNS: usize = 3;
