//! nft disappears while the gateway runs: it says so, forwards, and fails over all the same, because routes need no nft.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount, umount};

use crate::place::{Place, Provider, hide, in_namespace, ip, wait_until};

const CONFIG: &str = r#"
site = { name = "Shop 7" }
probes = { targets = [{ icmp = "198.51.100.1" }, { icmp = "203.0.113.1" }] }
uplinks.wan = { device = "wan0", medium = "fibre", ipv6 = "off" }
uplinks.lte = { device = "wan1", medium = "fibre", ipv6 = "off" }
networks.shop = { ports = ["lan0"], net = "192.168.10.0/24" }
firewall.rules = [{ from = ["shop"], to = ["wan"], allow = ["any"] }]
"#;

fn used(device: &str) -> bool {
    ip("-4 route show table 4200").contains(device)
}

#[test]
fn a_gateway_whose_nft_is_gone_says_so_and_fails_over() {
    in_namespace(|| {
        let providers = [0, 1].map(Provider::connect);
        for provider in &providers {
            ["198.51.100.1", "203.0.113.1"].into_iter().for_each(|target| provider.host(target));
        }
        let place = Place::with(CONFIG);
        let copy = place.path("nft");
        fs::copy("/usr/sbin/nft", &copy).expect("nftables is installed");
        let nft = |words: &[&str]| {
            let output = Command::new(&copy).args(words).output().expect("it runs from anywhere");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        // Mounts of the daemon are ours from here on.
        fs::create_dir_all(place.path("nothing")).expect("a folder");
        hide(&place.path("nothing"));
        let daemon = place.start();
        let up = |index: usize| place.status().unwrap_or_default()["uplinks"][index]["families"][0]["state"] == "up";
        wait_until("both lines are up", || up(0) && up(1) && used("wan0"));

        let programs = Path::new("/usr/sbin");
        mount(Some("tmpfs"), programs, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("it is hidden");
        // Somebody else's table: reason enough to look at ours.
        nft(&["add", "table", "inet", "other"]);
        wait_until("it is said", || daemon.said().contains("/usr/sbin/nft"));
        let table = nft(&["list", "table", "inet", "causeway"]);
        assert!(table.contains("chain forward"), "{table}");
        providers[0].ip("link set branch down");
        wait_until("the other line takes over", || used("wan1") && !used("wan0"));
        umount(programs).expect("it was hidden");

        // With nft it looks after its rules again.
        nft(&["delete", "table", "inet", "causeway"]);
        wait_until("the rules are back", || {
            let listed = Command::new(&copy).args(["list", "table", "inet", "causeway"]).output().expect("it runs");
            String::from_utf8_lossy(&listed.stdout).contains("chain forward")
        });
        daemon.stop();
    });
}
