//! What the box has left, as the kernel says. Each look is a few answers from memory, no disk is read.

use std::fs;
use std::path::Path;

use crate::control::snapshot::Hardware;

const SENSORS: &str = "/sys/devices/virtual/thermal";

pub fn hardware() -> Hardware {
    Hardware {
        memory_available_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)),
        temperature_celsius: hottest(Path::new(SENSORS)),
    }
}

/// In kibibytes there.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// In thousandths of a degree there. A sensor that does not answer is passed over.
fn hottest(sensors: &Path) -> Option<f64> {
    let read = |entry: fs::DirEntry| -> Option<i32> {
        fs::read_to_string(entry.path().join("temp")).ok()?.trim().parse().ok()
    };
    let hottest = fs::read_dir(sensors).ok()?.filter_map(|entry| read(entry.ok()?)).max()?;
    Some(f64::from(hottest) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_has_memory() {
        let hardware = hardware();
        assert!(hardware.memory_available_bytes.is_some_and(|bytes| bytes > 1 << 20), "{hardware:?}");
    }

    #[test]
    fn what_the_kernel_writes_is_understood() {
        assert_eq!(available("MemTotal: 8 kB\nMemAvailable:    2 kB\n"), Some(2_048));
        assert_eq!(available("MemAvailable: many\n"), None);
        assert_eq!(hottest(Path::new("/nonexistent")), None);
    }
}
