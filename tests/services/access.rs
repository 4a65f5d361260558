//! Keys for SSH, as sshd reads them: in force with the config, gone with it.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::{World, allowed};

const TWO: &str = include_str!("two-networks.toml");

fn with_keys(names: &[&str]) -> String {
    let keys: Vec<String> =
        names.iter().map(|name| format!("{{ name = \"{name}\", key = \"ssh-ed25519 {}\" }}", key(name))).collect();
    format!("{TWO}\n[access]\nssh = [{}]\n", keys.join(", "))
}

/// Of the form of an Ed25519 key, another one for each name.
fn key(name: &str) -> String {
    format!("AAAAC3NzaC1lZDI1NTE5AAAAI{}", name[..1].repeat(43))
}

#[test]
fn keys_are_in_force_with_the_config_and_go_with_it() {
    if !allowed() {
        return;
    }
    let mut world = World::start(TWO);
    let file = world.folder.join("access/authorized_keys");
    assert!(!file.exists(), "nobody has a key, so there is no file");
    let line = |name: &str| format!("ssh-ed25519 {} {name}\n", key(name));
    for names in [&["anna", "partner"][..], &["partner"]] {
        world.apply(&with_keys(names)).expect("applied");
        let wanted: String = names.iter().map(|name| line(name)).collect();
        assert_eq!(std::fs::read_to_string(&file).expect("a list of keys"), wanted);
        // sshd reads it as the user who comes in, and refuses one that others may write.
        assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o644);
        assert_eq!(world.verify(), Vec::<String>::new());
    }
    // A key that somebody adds is seen, and goes.
    std::fs::write(&file, line("partner") + &line("thief")).expect("a fault");
    assert!(world.verify().iter().any(|words| words.contains("authorized_keys")), "{:?}", world.verify());
    world.apply(&with_keys(&["partner"])).expect("repaired");
    assert_eq!(std::fs::read_to_string(&file).expect("a list of keys"), line("partner"));
    world.apply(TWO).expect("applied");
    assert!(!file.exists(), "nobody comes in any more");
    assert_eq!(world.verify(), Vec::<String>::new());
}
