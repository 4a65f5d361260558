//! Starts that cannot be: each with a message, what to do, and an exit code, and nothing of the kernel changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::place::{Answer, Place, answer, hide, in_namespace, ip, kernel, lease, plug_in, unprivileged, wait_until};

/// Refused, and the kernel is as it was.
fn refused(place: &Place, mut command: std::process::Command) -> (i32, String) {
    let before = kernel();
    let Answer { code, out, err } = answer(&mut command);
    assert_eq!(out, "", "talk goes to stderr");
    assert_eq!(kernel(), before, "a start that fails changes nothing");
    (code, place.plain(&err))
}

#[test]
fn every_kind_of_bad_config_is_refused_with_all_its_faults() {
    in_namespace(|| {
        // What each says word by word is in configs/invalid/; that `run` says it, and how it ends, is here.
        for bad in ["unknown-key--many", "format--duration", "device-twice", "net-overlap", "syntax"] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/invalid/{bad}.toml"));
            let place = Place::with(&fs::read_to_string(&file).expect("a bad file"));
            let (code, said) = refused(&place, place.run());
            assert_eq!(code, 64, "{bad}: {said}");
            let told = fs::read_to_string(file.with_extension("msg")).expect("its message");
            let told = told.replace(&format!("{bad}.toml"), "PLACE/gateway.toml");
            assert!(said.starts_with(told.trim_end()), "{bad}: {said}\n--- is not\n{told}");
            let end = "error: PLACE/gateway.toml is not a valid config\n  \
                       hint: `causeway config check FILE` shows every fault\n";
            assert!(said.ends_with(end), "{bad}: {said}");
        }
    });
}

#[test]
fn a_config_that_cannot_be_read_says_why() {
    in_namespace(|| {
        let place = Place::new();
        fs::remove_file(place.config()).expect("it is there");
        let said = "error: cannot read PLACE/gateway.toml\n  caused by: No such file or directory (os error 2)\n  \
                    hint: write one from an example: two-lines.toml is the shortest\n";
        assert_eq!(refused(&place, place.run()), (1, said.to_owned()));

        fs::write(place.config(), [0xff, 0xfe]).expect("a file");
        let (code, said) = refused(&place, place.run());
        assert!(code == 64 && said.ends_with("hint: save the file as UTF-8\n"), "{said}");

        fs::write(place.config(), crate::place::CONFIG).expect("a file");
        fs::set_permissions(place.config(), fs::Permissions::from_mode(0o000)).expect("it is ours");
        let said = "error: cannot read PLACE/gateway.toml\n  caused by: Permission denied (os error 13)\n  \
                    hint: run it as a user who may read the file\n";
        assert_eq!(refused(&place, unprivileged(&place.run())), (77, said.to_owned()));
    });
}

#[test]
fn without_the_right_to_change_the_network_it_is_77() {
    in_namespace(|| {
        let place = Place::new();
        let said = "error: may not change the network\n  caused by: capability CAP_NET_ADMIN is missing\n  \
                    hint: run it as root, or through causeway.service\n";
        assert_eq!(refused(&place, unprivileged(&place.run())), (77, said.to_owned()));
        assert_eq!(refused(&place, unprivileged(&place.causeway(&["teardown"]))), (77, said.to_owned()));
    });
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    in_namespace(|| {
        let place = Place::new();
        fs::write(place.path("file"), "").expect("a file");
        let mut run = place.causeway(&["run"]);
        run.arg("--config").arg(place.config()).arg("--state").arg(place.path("file/state"));
        let said = "error: cannot use the state folder PLACE/file/state\n  caused by: Not a directory (os error 20)\n  \
                    hint: --state names a folder that the daemon may write\n";
        assert_eq!(refused(&place, run), (1, said.to_owned()));

        let (code, said) = refused(&place, place.run_on(&place.path("missing/control.sock")));
        let told = "error: cannot open the control socket\n  \
                    caused by: cannot make the control socket PLACE/missing/control.sock\n  \
                    caused by: No such file or directory (os error 2)\n  \
                    hint: --socket names a path in a folder that the daemon may write\n";
        assert_eq!((code, said.as_str()), (1, told));

        let mut run = place.run();
        run.arg("--record").arg(place.path("missing/day.jsonl"));
        let told = "error: cannot write the recording PLACE/missing/day.jsonl\n  \
                    caused by: No such file or directory (os error 2)\n  \
                    hint: --record names a file that the daemon may write\n";
        assert_eq!(refused(&place, run), (1, told.to_owned()));
    });
}

/// F10: never two writers, and the first one is not disturbed.
#[test]
fn f10_a_second_daemon_leaves_with_75_and_names_what_the_first_one_holds() {
    in_namespace(|| {
        plug_in(0);
        let place = Place::new();
        let first = place.start();
        let said = "error: another daemon holds PLACE/state/lock\n  \
                    hint: one daemon is enough; `causeway status` asks the one that runs\n";
        assert_eq!(refused(&place, place.run()), (75, said.to_owned()));

        // With a state folder of its own it still finds the other's socket.
        let mut run = place.causeway(&["run"]);
        run.arg("--config").arg(place.config()).arg("--state").arg(place.path("other"));
        let said = "error: cannot open the control socket\n  caused by: another daemon answers on PLACE/control.sock\n  \
                    hint: one daemon is enough; `causeway status` asks the one that runs\n";
        assert_eq!(refused(&place, run), (75, said.to_owned()));
        assert!(place.status().is_some(), "{}", first.said());
        first.stop();
        // Its lock went with it.
        place.start().stop();
    });
}

/// The filter comes first: without it the branch would stand open, or be cut off.
#[test]
fn without_nft_it_does_not_start_and_says_what_to_install() {
    in_namespace(|| {
        plug_in(0);
        let place = Place::new();
        let nft = Path::new("/usr/sbin");
        let before = kernel();
        hide(nft);
        let Answer { code, out, err } = answer(&mut place.run());
        assert_eq!((code, out.as_str()), (1, ""));
        let said = "error: cannot load the packet filter\n  caused by: /usr/sbin/nft is not installed\n  \
                    hint: install nftables\n";
        assert_eq!(place.plain(&err), said);
        nix::mount::umount(nft).expect("it was hidden");
        assert_eq!(kernel(), before, "a start that fails changes nothing");
    });
}

/// F19: a device may come late; the others are not held up, and nobody needs to be told when it is there.
#[test]
fn f19_a_missing_device_is_waited_for_and_taken_when_it_comes() {
    in_namespace(|| {
        plug_in(0);
        let place = Place::new();
        let daemon = place.start();
        let line = |index: usize| place.status().expect("it answers")["uplinks"][index]["families"][0].clone();
        let warnings = || place.status().expect("it answers")["warnings"].clone();
        let waits = |warnings: serde_json::Value| warnings.to_string().contains("waits for device");

        wait_until("the line that is there is taken", || line(0)["address"] == "192.0.2.2");
        assert!(daemon.said().contains("uplink lte waits for device wan1, which is not there"), "{}", daemon.said());
        assert!(warnings().to_string().contains("uplink lte waits for device wan1"), "{}", warnings());
        assert_eq!(line(1)["evidence"]["carrier"], false);
        let shown = place.ask(&["status"]);
        assert!(shown.out.contains("! uplink lte waits for device wan1\n"), "{}", shown.out);

        plug_in(1);
        wait_until("the new line is taken", || line(1)["address"] == "192.0.2.18" && !waits(warnings()));
        wait_until("it has a table", || ip("-4 route show table 4102").contains("192.0.2.17 dev wan1"));

        ip("link del wan1");
        wait_until("its loss is told", || waits(warnings()));
        ip("link add wan1 type veth peer name isp1");
        ip("link set isp1 up");
        ip("link set wan1 up");
        lease(1);
        wait_until("it is found again by its name", || line(1)["address"] == "192.0.2.18" && !waits(warnings()));
        daemon.stop();
    });
}
