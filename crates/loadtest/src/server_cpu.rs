//! Processor time of the server during a run.

use std::time::Duration;

use crate::cpu;
use crate::error::Error;

/// Processes and what they had used when the run began.
#[derive(Debug)]
pub struct ServerCpu(Vec<(u32, Duration)>);

impl ServerCpu {
    /// Looks at them for the first time.
    ///
    /// # Errors
    /// [`Error::Usage`] when one is not there.
    pub fn start(pids: &[u32]) -> Result<Self, Error> {
        let look = |pid: &u32| {
            let used = cpu::of_process(*pid);
            used.map(|used| (*pid, used)).ok_or_else(|| Error::Usage(format!("--pid {pid}: no such process in /proc")))
        };
        pids.iter().map(look).collect::<Result<_, _>>().map(Self)
    }

    /// What all of them used since; `None` where there are none, or one is gone.
    pub fn used(&self) -> Option<Duration> {
        if self.0.is_empty() {
            return None;
        }
        self.0.iter().map(|(pid, before)| Some(cpu::of_process(*pid)?.saturating_sub(*before))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_process_nothing_is_known() {
        assert_eq!(ServerCpu::start(&[]).unwrap().used(), None);
        assert!(matches!(ServerCpu::start(&[u32::MAX]), Err(Error::Usage(_))));
    }
}
