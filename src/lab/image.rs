//! A booted image in place of the lab's gateway: QEMU, its ports bridged to the branch's lines and LAN. Without KVM, so it works
//! wherever namespaces do, and takes its time.
//!
//! ```text
//! lan1 ─ switch ─ lan0 ═ box-lan0 ┐         ┌ box-wan0 ═ wan0 ─ (line a) ─ isp-a …
//!                                 ├ the box ┤
//!                                 ┘         └ box-wan1 ═ wan1 ─ (line b) ─ isp-b …
//! ```
//!
//! All of it is the branch's own namespace `gateway`, which forwards nothing here: `═` is a bridge in it. The providers answer DHCP.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::addresses::{self as plan};
use super::clock;
use super::error::{Doing as _, LabError};
use super::netns::Namespace;
use super::topology::Branch;
use crate::config::model::Family;
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    Amd64,
    Arm64,
}

/// What the box is started with.
#[derive(Clone, Debug)]
pub struct Box {
    pub arch: Arch,
    /// The image as it was built; it is copied.
    pub image: PathBuf,
    /// Another firmware than EDK2, for arm64: U-Boot.
    pub firmware: Option<PathBuf>,
    /// Files for the ESP's `causeway` folder: name and text.
    pub files: Vec<(String, String)>,
    /// What its clock says at power-on, if not the time: `2001-01-01T00:00:00`.
    pub clock: Option<String>,
}

/// A box that runs. Dropping it is a power cut.
#[derive(Debug)]
pub struct Machine {
    kind: Box,
    host: Namespace,
    folder: PathBuf,
    emulator: Option<Child>,
    powered: Instant,
    providers: Vec<Child>,
}

/// The smallest device that an image fits on is 2 GiB; the file is sparse.
const DISK: u64 = 2 << 30;
/// What the figures of idle memory are measured with.
const MEMORY: &str = "512";
/// What its SMBIOS says.
pub const MODEL: &str = "cw-lab";
pub const SERIAL: &str = "LAB-0001";
/// The box sees its ports in this order, as `causeway ports` names them.
const PORTS: [&str; 3] = ["wan0", "wan1", "lan0"];
/// What the factory's config probes, so that an internet of documentation addresses has them.
const WELL_KNOWN: [&str; 6] = [
    "1.1.1.1/32",
    "8.8.8.8/32",
    "9.9.9.9/32",
    "2606:4700:4700::1111/128",
    "2001:4860:4860::8888/128",
    "2620:fe::fe/128",
];

impl Machine {
    /// Plugs a box into `branch` and switches it on. `folder` gets its disk and logs.
    pub fn start(branch: &Branch, kind: &Box, folder: &Path) -> Result<Self, LabError> {
        std::fs::create_dir_all(folder).doing(|| format!("make {}", folder.display()))?;
        plug(&branch.gateway)?;
        let addresses = WELL_KNOWN.map(|address| {
            format!("address add {address} dev lo{}\n", if address.contains(':') { " nodad" } else { "" })
        });
        branch.internet.ip(&addresses.concat())?;
        let providers = branch.providers.iter().enumerate().map(|(index, host)| serve(host, index, folder));
        let providers = providers.collect::<Result<_, _>>()?;
        let mut machine = Self {
            kind: kind.clone(),
            host: branch.gateway.clone(),
            folder: folder.to_owned(),
            emulator: None,
            powered: clock::now(),
            providers,
        };
        machine.lay_in()?;
        machine.power_on()?;
        Ok(machine)
    }

    /// Copies the image and lays the files into its ESP.
    fn lay_in(&self) -> Result<(), LabError> {
        let disk = self.disk();
        // As sparse as it was built: most of it is an empty slot.
        let image = self.kind.image.display().to_string();
        self.host.must("cp", &["--sparse=always", &image, &disk.display().to_string()], "")?;
        let file = File::options().read(true).write(true).open(&disk).doing(|| "open the disk".to_owned())?;
        file.set_len(DISK).doing(|| "make the disk larger".to_owned())?;
        let offset = first_partition(&file).doing(|| "read the partitions".to_owned())?;
        for (name, text) in &self.kind.files {
            let source = self.folder.join(name);
            std::fs::write(&source, text).doing(|| format!("write {}", source.display()))?;
            let place = format!("{}@@{offset}", disk.display());
            let target = format!("::causeway/{name}");
            self.host.must("mcopy", &["-o", "-i", &place, &source.display().to_string(), &target], "")?;
        }
        Ok(())
    }

    pub fn power_on(&mut self) -> Result<(), LabError> {
        let mut command = self.emulator()?;
        let log = File::create(self.folder.join("qemu.log")).doing(|| "open qemu.log".to_owned())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.powered = clock::now();
        self.emulator = Some(self.host.start(&mut command)?);
        Ok(())
    }

    /// The plug is pulled. What the disk was told stays, for QEMU's own cache is the host's.
    pub fn power_cut(&mut self) {
        if let Some(mut emulator) = self.emulator.take() {
            let _ = emulator.kill(); // it may have ended
            let _ = emulator.wait();
        }
    }

    /// What the serial line said since the last power-on.
    pub fn serial(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("serial.log")).unwrap_or_default()).into_owned()
    }

    /// When it was switched on.
    pub fn powered(&self) -> Instant {
        self.powered
    }

    /// Bytes of memory that the box has in all, and that it could give to a program now; `None` until its kernel has said so.
    pub fn memory(&self) -> Option<(u64, u64)> {
        const ASK: [&str; 3] = [
            r#"{"execute":"qmp_capabilities"}"#,
            r#"{"execute":"qom-set","arguments":{"path":"/machine/peripheral/balloon","property":"guest-stats-polling-interval","value":1}}"#,
            r#"{"execute":"qom-get","arguments":{"path":"/machine/peripheral/balloon","property":"guest-stats"}}"#,
        ];
        let mut stream = UnixStream::connect(self.folder.join("qmp")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let mut next = || -> Option<serde_json::Value> {
            loop {
                let said: serde_json::Value = serde_json::from_str(&lines.next()?.ok()?).ok()?;
                if said.get("event").is_none() {
                    return Some(said);
                }
            }
        };
        next()?;
        let mut answer = serde_json::Value::Null;
        for line in ASK {
            writeln!(stream, "{line}").ok()?;
            answer = next()?;
        }
        let stats = &answer["return"]["stats"];
        let bytes = |name: &str| stats[name].as_u64().filter(|bytes| *bytes < u64::MAX);
        Some((bytes("stat-total-memory")?, bytes("stat-available-memory")?))
    }

    /// Whether the emulator still runs.
    pub fn runs(&mut self) -> bool {
        self.emulator.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("disk.raw")
    }

    fn emulator(&self) -> Result<Command, LabError> {
        let mut command = match self.kind.arch {
            Arch::Amd64 => {
                let mut command = Command::new("qemu-system-x86_64");
                command.args(["-M", "q35", "-cpu", "max"]);
                self.flash(&mut command, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")?;
                command
            }
            Arch::Arm64 => {
                let mut command = Command::new("qemu-system-aarch64");
                command.args(["-M", "virt", "-cpu", "max,pauth-impdef=on"]);
                match &self.kind.firmware {
                    Some(bios) => {
                        command.arg("-bios").arg(bios);
                    }
                    None => {
                        self.flash(&mut command, "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd")?;
                    }
                }
                command
            }
        };
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-smp", "2", "-m", MEMORY]);
        command.args(["-accel", "tcg,thread=multi", "-device", "virtio-rng-pci"]);
        if let Some(clock) = &self.kind.clock {
            command.arg("-rtc").arg(format!("base={clock}"));
        }
        command.arg("-serial").arg(format!("file:{}", self.folder.join("serial.log").display()));
        command.arg("-drive").arg(format!("file={},format=raw,if=none,id=disk,cache=writeback", self.disk().display()));
        command.args(["-device", "virtio-blk-pci,drive=disk,bootindex=1"]);
        // What the box tells head office of itself.
        command.arg("-smbios").arg(format!("type=1,manufacturer=causeway,product={MODEL},serial={SERIAL}"));
        // The box's kernel says here how much memory is free, and needs no program for it.
        command.args(["-device", "virtio-balloon-pci,id=balloon,addr=0xf"]);
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", self.folder.join("qmp").display()));
        for (index, port) in PORTS.iter().enumerate() {
            command.arg("-netdev").arg(format!("tap,id={port},ifname=box-{port},script=no,downscript=no"));
            // Without a ROM the firmware does not try to boot from the network.
            command.arg("-device").arg(format!(
                "virtio-net-pci,netdev={port},mac=52:54:00:12:00:{index:02x},addr={:#x},romfile=",
                0x10 + index
            ));
        }
        Ok(command)
    }

    /// EDK2 and its variables, which outlive a power cut.
    fn flash(&self, command: &mut Command, code: &str, variables: &str) -> Result<(), LabError> {
        let own = self.folder.join("variables.fd");
        if !own.exists() {
            std::fs::copy(variables, &own).doing(|| format!("copy {variables}"))?;
        }
        command.arg("-drive").arg(format!("if=pflash,format=raw,readonly=on,file={code}"));
        command.arg("-drive").arg(format!("if=pflash,format=raw,file={}", own.display()));
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_cut();
        for child in &mut self.providers {
            let _ = child.kill(); // it may have ended
            let _ = child.wait();
        }
    }
}

/// Where the first partition begins, the ESP: from the GPT's first entry.
fn first_partition(disk: &File) -> std::io::Result<u64> {
    const ENTRIES: u64 = 2 * 512;
    const FIRST_SECTOR: u64 = 32;
    let mut sector = [0; 8];
    disk.read_exact_at(&mut sector, ENTRIES + FIRST_SECTOR)?;
    Ok(u64::from_le_bytes(sector) * 512)
}

/// The lab's gateway becomes wires: each of its devices is bridged to a port of the box.
fn plug(gateway: &Namespace) -> Result<(), LabError> {
    gateway.sysctl(&[
        ("ipv4/ip_forward", "0"),
        ("ipv6/conf/all/forwarding", "0"),
        ("ipv6/conf/all/disable_ipv6", "1"),
        ("ipv6/conf/default/disable_ipv6", "1"),
    ])?;
    let mut lines = String::new();
    for port in PORTS {
        // Who is on the other side is the box's business.
        writeln!(
            lines,
            "address flush dev {port}\nlink add wire-{port} type bridge mcast_snooping 0\nlink set {port} master wire-{port}\n\
             tuntap add dev box-{port} mode tap\nlink set box-{port} master wire-{port}\nlink set box-{port} up\n\
             link set {port} up\nlink set wire-{port} up"
        )
        .expect("a String takes all");
    }
    gateway.ip(&lines)
}

/// A provider's DHCP server and router advertisements.
fn serve(provider: &Namespace, index: usize, folder: &Path) -> Result<Child, LabError> {
    let (net, router) = (plan::wan(Family::V4, index, 0), plan::wan(Family::V4, index, plan::PROVIDER));
    let net = net.to_string();
    let prefix = net.strip_suffix(".0").unwrap_or(&net);
    let mut command = Command::new("dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--interface=line",
        "--bind-interfaces",
        "--port=0",
    ]);
    command.args([
        "--except-interface=lo",
        "--user=root",
        "--group=root",
        "--pid-file=",
        "--dhcp-authoritative",
        // It would ask for three seconds whether an address is taken, which no provider does.
        "--no-ping",
        "--enable-ra",
    ]);
    command.arg(format!("--dhcp-range={prefix}.100,{prefix}.120,255.255.255.0,1h"));
    command.arg("--dhcp-range=::,constructor:line,ra-only,64,1h");
    command.arg(format!("--dhcp-option=option:router,{router}"));
    command.arg(format!("--dhcp-option=option:dns-server,{}", plan::far(Family::V4)));
    command.arg(format!("--dhcp-leasefile={}", folder.join(format!("leases-{index}")).display()));
    let log =
        File::create(folder.join(format!("provider-{index}.log"))).doing(|| "open a provider's log".to_owned())?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    provider.start(&mut command)
}

/// Boots a box with the factory's config beside a branch and keeps both until the process is stopped: `make image-run`.
pub fn up(kind: &Box, out: &mut dyn std::io::Write) -> Result<bool, LabError> {
    let branch = Branch::build(&super::topology::BranchPlan::usual())?;
    let _names = branch.publish()?;
    let folder = Path::new("/run/causeway-box");
    let machine = Machine::start(&branch, kind, folder)?;
    let text = "the box boots; its serial line follows. In another terminal `causeway lab shell lan1` is a machine in its LAN\n\
                (`udhcpc -i eth0` for a lease), `isp-a` and `isp-b` are its providers. Ctrl-C takes all down\n";
    super::print::write(out, text)?;
    let mut told = 0;
    loop {
        let serial = machine.serial();
        super::print::write(out, serial.get(told..).unwrap_or_default())?;
        told = serial.len();
        clock::wait_for(Duration::from_millis(200), Duration::from_millis(200), || None::<()>);
    }
}
