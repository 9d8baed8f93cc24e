//! CPU sets: parsing `0-1,3` and pinning the calling thread. A server is started from a pinned
//! thread and inherits its set.

use std::fmt;
use std::str::FromStr;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::failure::{Context, Outcome};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// The CPUs this process may use.
    pub fn allowed() -> Outcome<Self> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        Ok(Self((0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap_or(false)).collect()))
    }

    pub fn of(cpus: &[usize]) -> Self {
        Self(cpus.to_vec())
    }

    pub fn one(cpu: usize) -> Self {
        Self(vec![cpu])
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// Threads and processes started by this thread from now on inherit the set.
    pub fn pin_this_thread(&self) -> Outcome<()> {
        let mut set = CpuSet::new();
        for cpu in self.iter() {
            set.set(cpu).context(format!("CPU {cpu}"))?;
        }
        sched_setaffinity(Pid::from_raw(0), &set).context(format!("pinning to CPUs {self}"))
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let bound = |s: &str| s.trim().parse::<usize>().map_err(|e| format!("{s:?}: {e}"));
            cpus.extend(bound(first)?..=bound(last)?);
        }
        if cpus.is_empty() { Err("no CPU named".into()) } else { Ok(Self(cpus)) }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_cpus_mix() {
        assert_eq!("0-2,5".parse(), Ok(Cpus(vec![0, 1, 2, 5])));
        assert!("".parse::<Cpus>().is_err());
        assert!("3-1".parse::<Cpus>().is_err());
    }
}
