//! The frequency of each CPU, where sysfs tells it: most virtual machines do not.

use std::path::{Path, PathBuf};

use super::proc::Out;

/// Where the CPUs are.
const CPUS: &str = "/sys/devices/system/cpu";

/// The files that tell the frequencies: label and path.
pub(super) struct Frequencies(Vec<(String, PathBuf)>);

impl Frequencies {
    /// Of this host.
    pub(super) fn new() -> Frequencies {
        Frequencies::below(Path::new(CPUS))
    }

    fn below(cpus: &Path) -> Frequencies {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(cpus).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(cpu) = name.strip_prefix("cpu").and_then(|n| n.parse::<u32>().ok()) else { continue };
            let file = entry.path().join("cpufreq/scaling_cur_freq");
            if file.exists() {
                files.push((cpu, file));
            }
        }
        files.sort();
        Frequencies(files.into_iter().map(|(cpu, file)| (format!("cpu=\"{cpu}\""), file)).collect())
    }

    /// Whether any CPU tells its frequency.
    pub(super) fn are_visible(&self) -> bool {
        !self.0.is_empty()
    }

    /// Reads them, with node_exporter's name.
    pub(super) fn read(&self, out: &mut dyn Out) {
        for (label, file) in &self.0 {
            let khz = std::fs::read_to_string(file).ok().and_then(|t| t.trim().parse::<f64>().ok());
            if let Some(khz) = khz {
                out.sample("node_cpu_scaling_frequency_hertz", label, khz * 1000.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Seen(Vec<(String, f64)>);
    impl Out for Seen {
        fn sample(&mut self, _: &str, labels: &str, value: f64) {
            self.0.push((labels.to_owned(), value));
        }
    }

    #[test]
    fn frequencies_are_read_of_every_cpu_that_tells_one() {
        let folder = std::env::temp_dir().join(format!("coldcase-cpufreq-{}", std::process::id()));
        for (cpu, khz) in [("cpu0", Some("2400000\n")), ("cpu10", Some("800000\n")), ("cpu1", None), ("cpuidle", None)]
        {
            std::fs::create_dir_all(folder.join(cpu).join("cpufreq")).unwrap();
            if let Some(khz) = khz {
                std::fs::write(folder.join(cpu).join("cpufreq/scaling_cur_freq"), khz).unwrap();
            }
        }
        let frequencies = Frequencies::below(&folder);
        let mut seen = Seen(Vec::new());
        frequencies.read(&mut seen);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(seen.0, [("cpu=\"0\"".to_owned(), 2.4e9), ("cpu=\"10\"".to_owned(), 8e8)]);
        assert!(!Frequencies::below(Path::new("/nowhere")).are_visible());
    }
}
