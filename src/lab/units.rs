//! Quantities as scenario files write them: `"350ms"`, `"60%"`, `"20mbit"`, `"64KB"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A duration with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// A share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// Bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

const TIMES: [(&str, f64); 5] = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
const RATES: [(&str, f64); 3] = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
const SIZES: [(&str, f64); 4] = [("B", 1.0), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)];

/// `text` in the smallest unit, or what it should look like.
fn quantity(text: &str, units: &[(&str, f64)], example: &str) -> Result<f64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) => Ok(number * factor),
        (Ok(_) | Err(_), Some(_) | None) => Err(format!("`{text}` is not a quantity such as {example}")),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no sign is read, and `as` saturates")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

macro_rules! read {
    ($name:ident, $text:ident => $read:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $text = &String::deserialize(deserializer)?;
                $read.map(Self).map_err(D::Error::custom)
            }
        }
    };
}

read!(Time, text => quantity(text, &TIMES, "350ms").map(|nanos| Duration::from_nanos(whole(nanos))));
read!(Share, text => quantity(text, &[("%", 0.01)], "60%"));
read!(Rate, text => quantity(text, &RATES, "20mbit").map(whole));
read!(Bytes, text => quantity(text, &SIZES, "64KB").map(whole));

/// For people: three digits at most, in the unit that fits.
pub fn show(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    match milliseconds {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 100_000.0 => format!("{:.2} s", ms / 1e3),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        assert_eq!(quantity("350ms", &TIMES, "").map(whole), Ok(350_000_000));
        assert_eq!(quantity("1.5s", &TIMES, "").map(whole), Ok(1_500_000_000));
        assert_eq!(quantity("20mbit", &RATES, "").map(whole), Ok(20_000_000));
        for wrong in ["", "5", "ms", "5 ms", "5days", "-5ms"] {
            assert!(quantity(wrong, &TIMES, "350ms").is_err(), "{wrong}");
        }
        assert_eq!(show(Duration::from_micros(6240)), "6.2 ms");
        assert_eq!(show(Duration::from_millis(1234)), "1.23 s");
    }
}
