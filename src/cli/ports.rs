//! `causeway ports`: asks the machine what it is and which ports it has, and writes what udev and the daemon read. Runs once a boot,
//! before udev, as root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::args::PortsArgs;
use super::exit::{Exit, Failure, print, talk};
use crate::ports::{Machine, Model, Port, device_file, factory_config, in_bus_order, link_file};

/// PCI's class of wired network devices, as sysfs writes it, without the programming interface.
const ETHERNET: &str = "0x0200";

pub(super) fn run(args: &PortsArgs) -> Result<(), Failure> {
    let machine = machine(&args.sys);
    let model = models(&args.models)?.into_iter().find(|model| model.is(&machine));
    let ports = match &model {
        Some(model) => model.ports.clone(),
        None => in_bus_order(&buses(&args.sys)),
    };
    let links = args.root.join("run/systemd/network");
    let config = args.root.join("etc/causeway");
    for port in &ports {
        write(&links.join(format!("10-causeway-{}.link", port.name)), &link_file(port))?;
    }
    // Files of an operator are not replaced.
    for (name, text) in
        [("gateway.toml", factory_config(&ports)), ("device.toml", device_file(model.as_ref(), &machine))]
    {
        let file = config.join(name);
        if !file.exists() {
            write(&file, &text)?;
        }
    }
    let known = model.as_ref().map_or("an unknown model: ports in the order of the bus", |model| &model.name);
    let lines: String = ports.iter().map(|port| format!("  {:<6} {}\n", port.name, place(port))).collect();
    print(&format!("{known}\n{lines}"))
}

fn place(port: &Port) -> &str {
    port.path.as_deref().or(port.kernel.as_deref()).unwrap_or_default()
}

/// What stands in SMBIOS where nobody filled it in, in small letters: U-Boot's words, then those of makers of boards. On a board
/// with U-Boot the device tree knows better.
const UNFILLED: [&str; 6] =
    ["unknown", "unknown product", "default string", "not specified", "system product name", "to be filled by o.e.m."];

/// What cannot be read is not known: a virtual machine has no serial number.
fn machine(sys: &Path) -> Machine {
    let text = |path: &str| {
        let bytes = fs::read(sys.join(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim_matches(['\0', '\n', ' ']).to_owned();
        (!text.is_empty()).then_some(text)
    };
    let dmi = |field: &str| {
        text(&format!("class/dmi/id/{field}")).filter(|text| !UNFILLED.contains(&text.to_ascii_lowercase().as_str()))
    };
    let tree = |field: &str| text(&format!("firmware/devicetree/base/{field}"));
    let compatible = tree("compatible").unwrap_or_default();
    Machine {
        vendor: dmi("sys_vendor"),
        product: dmi("product_name").or_else(|| tree("model")),
        serial: dmi("product_serial").or_else(|| tree("serial-number")),
        compatible: compatible.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    }
}

/// Addresses of the wired network devices on PCI, whether their driver is loaded or not.
fn buses(sys: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(sys.join("bus/pci/devices")) else { return Vec::new() };
    let wired = entries
        .filter_map(Result::ok)
        .filter(|entry| fs::read_to_string(entry.path().join("class")).is_ok_and(|class| class.starts_with(ETHERNET)));
    wired.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A file that cannot be understood costs its box the names, not the others theirs.
fn models(folder: &Path) -> Result<Vec<Model>, Failure> {
    let failed = |path: &Path, source: io::Error| {
        Failure::new(Exit::Failed, Unusable { doing: "read", path: path.to_owned(), source })
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder, error)),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut models = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(|error| failed(&file, error))?;
        match Model::parse(&text) {
            Ok(model) => models.push(model),
            Err(error) => talk(&format!("{} is not used: {error}\n", file.display())),
        }
    }
    Ok(models)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, text))
        .map_err(|source| Failure::new(Exit::Failed, Unusable { doing: "write", path: file.to_owned(), source }))
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
struct Unusable {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_filled_in_is_asked_of_the_device_tree() {
        let sys = std::env::temp_dir().join(format!("causeway-ports-{}", std::process::id()));
        for (file, text) in [
            ("class/dmi/id/sys_vendor", "Unknown\n"),
            ("class/dmi/id/product_name", "Unknown Product\n"),
            ("class/dmi/id/product_serial", "To Be Filled By O.E.M.\n"),
            ("firmware/devicetree/base/model", "Globalscale Marvell ESPRESSOBin Board\0"),
        ] {
            let path = sys.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
            fs::write(path, text).expect("it can be written");
        }
        let told = machine(&sys);
        fs::remove_dir_all(&sys).expect("it is there");
        assert_eq!(told.product.as_deref(), Some("Globalscale Marvell ESPRESSOBin Board"));
        assert_eq!((told.vendor, told.serial), (None, None));
    }
}
