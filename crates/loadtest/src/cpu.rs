//! Processor time, as Linux counts it (proc(5)). Elsewhere there is none to read.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

/// User and system time of a process with all its threads since it began; not that of its children.
///
/// Counted in ticks, mostly of 10 ms. `None` where the process is gone or there is no /proc.
pub fn of_process(pid: u32) -> Option<Duration> {
    of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(duration)
}

/// Time that any processor of the machine was busy since it began, and what a hypervisor gave to others.
pub fn of_machine() -> Option<Duration> {
    busy_of_machine(&fs::read_to_string("/proc/stat").ok()?).map(duration)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

/// `utime` and `stime`, the 14th and 15th field. The second field, the program's name, may hold spaces and parentheses.
fn of_stat(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// All but `idle` and `iowait`, the 4th and 5th; `guest` times, after the 8th, are in `user` already.
fn busy_of_machine(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(8);
    let fields: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(fields.iter().enumerate().filter(|(place, _)| !(3..=4).contains(place)).map(|(_, ticks)| ticks).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let stat = "4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 100 0 0 0 250 50 7 9 20 0 8 0 123 4096 10";
        assert_eq!(of_stat(stat), Some(300), "without the 7 and 9 of its children");
        assert_eq!(of_stat("4711 (souk) S 1"), None);
    }

    #[test]
    fn an_idle_machine_is_not_busy() {
        let stat = "cpu  100 10 50 9999 77 3 4 5 60 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_of_machine(stat), Some(100 + 10 + 50 + 3 + 4 + 5));
        assert_eq!(busy_of_machine("intr 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_time() {
        let pid = std::process::id();
        let before = of_process(pid).unwrap();
        while of_process(pid).unwrap() == before {
            std::hint::spin_loop();
        }
        assert!(of_machine().unwrap() > Duration::ZERO);
        assert_eq!(of_process(u32::MAX), None);
    }
}
