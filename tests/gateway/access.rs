//! Who may open the control socket, and who may change things. Needs more users than root.

use std::os::unix::process::CommandExt as _;

use crate::place::{Answer, CONFIG, NOBODY, Place, answer, everybody_is_there, in_namespace, plug_in};

/// Debian has it everywhere, with nobody in it.
const GROUP: (&str, u32) = ("daemon", 1);

fn ask_as(place: &Place, group: u32, words: &[&str]) -> Answer {
    answer(place.causeway(words).uid(NOBODY).gid(group))
}

#[test]
fn members_of_the_control_group_look_and_change_and_nobody_else() {
    if !everybody_is_there() {
        eprintln!("skipped: only root is mapped here");
        return;
    }
    in_namespace(|| {
        plug_in(0);
        let place = Place::with(&format!("{CONFIG}\ncontrol = {{ group = \"{}\" }}\n", GROUP.0));
        let daemon = place.start();
        let Answer { code, err, .. } = ask_as(&place, GROUP.1, &["status"]);
        assert_eq!((code, err.as_str()), (0, ""));
        let Answer { code, err, .. } = ask_as(&place, GROUP.1, &["lock"]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(place.status().expect("it answers")["lock"]["by"], "nobody");

        for words in [&["status"][..], &["unlock"]] {
            let Answer { code, out, err } = ask_as(&place, NOBODY, words);
            assert_eq!((code, out.as_str()), (77, ""), "{err}");
            assert!(err.contains("hint: run it as root, or as a member of the socket's group"), "{err}");
        }
        assert!(!place.status().expect("it answers")["lock"].is_null(), "nobody unlocked it");
        daemon.stop();
    });
}

#[test]
fn a_group_that_does_not_exist_is_no_fault_but_said() {
    in_namespace(|| {
        plug_in(0);
        let place = Place::with(&format!("{CONFIG}\ncontrol = {{ group = \"no-such-people\" }}\n"));
        let daemon = place.start();
        let said = "there is no group no-such-people (control.group), so nobody but root may change things";
        assert!(daemon.said().contains(said), "{}", daemon.said());
        assert!(!place.status().expect("it answers")["warnings"].to_string().contains("no-such-people"));
        daemon.stop();
    });
}
