//! What the kernel says of processes.

use std::fs;

/// Processor time in seconds, from the given field of `/proc/self/stat` on: 11
/// is this process's own, 13 that of all processes that it has waited for. The
/// kernel tells it in hundredths.
pub(crate) fn cpu_seconds(field: usize) -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(field).take(2);
    ticks.filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory that a process has had so far, in MiB.
pub(crate) fn peak_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let word = line.and_then(|line| line.split_whitespace().next());
    let kib = word.and_then(|word| word.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
