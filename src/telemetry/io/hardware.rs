//! What the box has left, as the kernel says. Each look is a few answers from memory, no disk is read.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::control::snapshot::{AREAS, Area, Hardware};

const SENSORS: &str = "/sys/devices/virtual/thermal";
/// Of [`AREAS`].
const FOLDERS: [&str; 2] = ["/var/lib", "/var/log"];

pub fn hardware() -> Hardware {
    Hardware {
        memory_available_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)),
        temperature_celsius: hottest(Path::new(SENSORS)),
    }
}

/// What can be asked about, each file system once.
pub fn storage() -> Vec<Area> {
    let mut seen = Vec::new();
    let area = |(name, folder): (&'static str, &str)| {
        let there = statvfs(folder).ok()?;
        let id = there.filesystem_id();
        if seen.contains(&id) {
            return None;
        }
        seen.push(id);
        // What is kept for root is neither used nor to be had.
        let bytes = |blocks| u64::from(blocks).saturating_mul(u64::from(there.fragment_size()));
        let used_bytes = bytes(there.blocks().saturating_sub(there.blocks_free()));
        Some(Area { name, size_bytes: used_bytes.saturating_add(bytes(there.blocks_available())), used_bytes })
    };
    AREAS.into_iter().zip(FOLDERS).filter_map(area).collect()
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
    fn a_file_system_is_told_once() {
        let areas = storage();
        assert!(areas.iter().all(|area| area.used_bytes <= area.size_bytes), "{areas:?}");
        assert_eq!(areas.first().map(|area| area.name), Some("data"), "{areas:?}");
    }

    #[test]
    fn what_the_kernel_writes_is_understood() {
        assert_eq!(available("MemTotal: 8 kB\nMemAvailable:    2 kB\n"), Some(2_048));
        assert_eq!(available("MemAvailable: many\n"), None);
        assert_eq!(hottest(Path::new("/nonexistent")), None);
    }
}
