//! Memory of processes, as Linux counts it (proc(5)). Elsewhere there is none to read.

use std::fs;

/// Resident memory of a process, in KiB. `None` where the process is gone or there is no /proc.
pub fn resident_kib(pid: u32) -> Option<u64> {
    of_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn of_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_a_line_of_the_status() {
        assert_eq!(of_status("Name:\tsouk\nVmHWM:\t  9000 kB\nVmRSS:\t    1234 kB\nThreads:\t3\n"), Some(1234));
        assert_eq!(of_status("Name:\tkthreadd\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_resident() {
        assert!(resident_kib(std::process::id()).unwrap() > 100);
        assert_eq!(resident_kib(u32::MAX), None);
    }
}
