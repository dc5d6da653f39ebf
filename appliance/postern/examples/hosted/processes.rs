//! What the kernel says of the appliance's roles.

use std::fs;

/// A role's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

/// The processes below one, itself not counted.
pub(crate) fn below(pid: u32) -> Vec<Process> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| [vec![Process(child)], below(child)].concat()).collect()
}

/// Bytes in memory, of all together.
pub(crate) fn resident(processes: &[Process]) -> u64 {
    processes.iter().map(|process| process.status("VmRSS:") * 1024).sum()
}

/// Seconds of processor time so far, of all together.
pub(crate) fn processor_seconds(processes: &[Process]) -> f64 {
    processes.iter().map(Process::ticks).sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64
}

impl Process {
    fn status(self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// proc(5): `utime` and `stime` are the 14th and 15th field; the name, which may hold anything, ends with `)`.
    fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}
