//! Which CPUs the cores run on: affinity and CPU quota are respected (DESIGN §6).

use std::fs;

use crate::config::options::WeftOptions;

/// One entry per shard: the CPU it is pinned to, or none where the kernel had better choose.
pub fn plan(options: &WeftOptions) -> Result<Vec<Option<usize>>, String> {
    let allowed = allowed();
    let (cpus, pinned, default) = match &options.cores {
        Some(cores) => {
            let missing = cores.cores().iter().find(|cpu| !allowed.contains(cpu));
            if let Some(cpu) = missing {
                return Err(format!(
                    "CPU {cpu} of --cores is not among those allowed: {allowed:?}"
                ));
            }
            (cores.cores().to_vec(), true, cores.cores().len())
        }
        None => {
            let quota = quota(&|path| fs::read_to_string(path).ok());
            let within = quota.map_or(allowed.len(), |cpus| cpus.min(allowed.len()));
            // Under a quota the kernel takes time away from whole CPUs: a pinned core would stand
            // still where a free one could move.
            (allowed.clone(), within == allowed.len(), within.max(1))
        }
    };
    let shards = options.shards.unwrap_or(default);
    Ok((0..shards).map(|shard| pinned.then(|| cpus[shard % cpus.len()])).collect())
}

/// The CPUs of this thread's affinity mask.
fn allowed() -> Vec<usize> {
    let mask = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let Ok(mask) = mask else { return vec![0] };
    let cpus: Vec<_> =
        (0..nix::sched::CpuSet::count()).filter(|cpu| mask.is_set(*cpu).unwrap_or(false)).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// CPUs' worth of time that the control group allows, rounded up; `None` without a quota.
fn quota(read: &dyn Fn(&str) -> Option<String>) -> Option<usize> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let v2 = [format!("/sys/fs/cgroup{own}/cpu.max"), "/sys/fs/cgroup/cpu.max".to_owned()];
    if let Some(text) = v2.iter().find_map(|path| read(path)) {
        let mut words = text.split_whitespace();
        return ratio(words.next()?, words.next()?);
    }
    let v1 = |file: &str| read(&format!("/sys/fs/cgroup/cpu/{file}"));
    ratio(v1("cpu.cfs_quota_us")?.trim(), v1("cpu.cfs_period_us")?.trim())
}

fn ratio(quota: &str, period: &str) -> Option<usize> {
    let (quota, period) = (quota.parse::<usize>().ok()?, period.parse::<usize>().ok()?);
    (period > 0).then(|| quota.div_ceil(period).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_counts_in_whole_cpus() {
        let file = |content: &'static str| {
            move |path: &str| (path == "/sys/fs/cgroup/cpu.max").then(|| content.to_owned())
        };
        assert_eq!(quota(&file("150000 100000\n")), Some(2));
        assert_eq!(quota(&file("50000 100000\n")), Some(1));
        assert_eq!(quota(&file("max 100000\n")), None);
        let v1 = |path: &str| match path {
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us" => Some("-1\n".to_owned()),
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us" => Some("100000\n".to_owned()),
            _ => None,
        };
        assert_eq!(quota(&v1), None);
        assert_eq!(quota(&|_| None), None);
    }

    #[test]
    fn more_shards_than_cpus_share_them() {
        let mut options = WeftOptions { shards: Some(5), ..WeftOptions::default() };
        assert_eq!(plan(&options).unwrap().len(), 5);
        options.cores = Some(allowed()[0].to_string().parse().unwrap());
        assert_eq!(plan(&options).unwrap(), [Some(allowed()[0]); 5]);
        options.cores = Some("4095".parse().unwrap());
        assert!(plan(&options).unwrap_err().contains("4095"));
    }
}
