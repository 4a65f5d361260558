//! What the box is and has left, as the kernel says. Each look is a few answers from memory, no disk is read.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::control::snapshot::{Firmware, Hardware, Slot};

const SENSORS: &str = "/sys/devices/virtual/thermal";
const CARDS: &str = "/sys/bus/mmc/devices";
const MAPPED: &str = "/sys/devices/virtual/block";
const OS_RELEASE: &str = "/usr/lib/os-release";

pub fn hardware() -> Hardware {
    // It changes with a boot only.
    static FIRMWARE: OnceLock<Option<Firmware>> = OnceLock::new();
    Hardware {
        memory_available_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)),
        temperature_celsius: hottest(Path::new(SENSORS)),
        storage_wear_ratio: most_worn(Path::new(CARDS)),
        firmware: FIRMWARE.get_or_init(|| firmware(Path::new(OS_RELEASE), Path::new(MAPPED))).clone(),
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

/// An eMMC estimates for its two kinds of cells which tenth of their life they are in (JESD84-B51, 7.4.81): `0x01` is the
/// first, `0x0b` beyond the last, `0x00` says nothing. An SD card has no such file.
fn most_worn(cards: &Path) -> Option<f64> {
    let worn = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("life_time")).ok()?;
        text.split_whitespace().filter_map(|tenth| u8::from_str_radix(tenth.strip_prefix("0x")?, 16).ok()).max()
    };
    let most = fs::read_dir(cards).ok()?.filter_map(|entry| worn(entry.ok()?)).max()?;
    (most > 0).then(|| f64::from(most) / 10.0)
}

/// `None` where another system runs than our image. A slot is two partitions, the system and its hashes, in the order of
/// `image/repart`; the root device that verifies one of them stands on both.
fn firmware(os_release: &Path, mapped: &Path) -> Option<Firmware> {
    let text = fs::read_to_string(os_release).ok()?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"'))
    };
    if field("IMAGE_ID") != Some("causeway") {
        return None;
    }
    let is_root = |device: &fs::DirEntry| {
        fs::read_to_string(device.path().join("dm/name")).is_ok_and(|name| name.trim() == "root")
    };
    let root = fs::read_dir(mapped).ok()?.flatten().find(is_root)?;
    let partition = |device: fs::DirEntry| -> Option<u32> {
        fs::read_to_string(device.path().join("partition")).ok()?.trim().parse().ok()
    };
    let first = fs::read_dir(root.path().join("slaves")).ok()?.flatten().filter_map(partition).min()?;
    let slot = match first {
        2 => Slot::A,
        4 => Slot::B,
        _ => return None,
    };
    Some(Firmware { version: field("IMAGE_VERSION")?.to_owned(), slot })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Files as the kernel has them, below a folder that goes with the test.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("causeway-hardware-{name}-{}", std::process::id()));
            for (file, text) in files {
                let file = folder.join(file);
                fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder");
                fs::write(file, text).expect("a file");
            }
            Self(folder)
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

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

    #[test]
    fn the_hottest_sensor_counts() {
        let sensors = [("zone0/temp", "41500\n"), ("zone1/temp", "-2000\n"), ("zone2/temp", "none\n")];
        assert_eq!(hottest(&Files::new("heat", &sensors).0), Some(41.5));
    }

    #[test]
    fn the_most_worn_cells_count() {
        for (name, files, wanted) in [
            ("new", &[("mmc0:0001/life_time", "0x01 0x01\n")][..], Some(0.1)),
            ("one-kind", &[("mmc0:0001/life_time", "0x02 0x09\n"), ("mmc1:aaaa/name", "SD\n")], Some(0.9)),
            ("over", &[("mmc0:0001/life_time", "0x0b 0x0a\n")], Some(1.1)),
            ("silent", &[("mmc0:0001/life_time", "0x00 0x00\n")], None),
            ("sd", &[("mmc1:aaaa/name", "SD\n")], None),
        ] {
            assert_eq!(most_worn(&Files::new(name, files).0), wanted, "{name}");
        }
    }

    #[test]
    fn the_slot_is_where_the_verified_root_stands() {
        let release = "ID=causeway\nIMAGE_ID=causeway\nIMAGE_VERSION=1.4.2\n";
        let booted = |name: &str, release: &str, partitions: [&str; 2]| {
            let [system, hashes] = partitions;
            let files = Files::new(
                name,
                &[
                    ("os-release", release),
                    ("block/loop0/size", "0\n"),
                    ("block/dm-1/dm/name", "other\n"),
                    ("block/dm-0/dm/name", "root\n"),
                    ("block/dm-0/slaves/vda-system/partition", system),
                    ("block/dm-0/slaves/vda-hashes/partition", hashes),
                ],
            );
            firmware(&files.0.join("os-release"), &files.0.join("block"))
        };
        let image = |slot| Some(Firmware { version: "1.4.2".to_owned(), slot });
        assert_eq!(booted("first", release, ["2\n", "3\n"]), image(Slot::A));
        assert_eq!(booted("second", release, ["4\n", "5\n"]), image(Slot::B));
        assert_eq!(booted("elsewhere", release, ["7\n", "8\n"]), None);
        assert_eq!(booted("debian", "ID=debian\nVERSION_ID=\"13\"\n", ["2\n", "3\n"]), None);
        assert_eq!(firmware(Path::new("/nonexistent"), Path::new("/nonexistent")), None);
    }
}
