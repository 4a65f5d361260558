//! Which number each uplink has in the kernel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{Name, UplinkId, limits};

/// The place of an uplink in the kernel: 0…63. Table, rule and mark numbers derive from it. It stays with the uplink's name
/// for the life of a boot, so that a change of the config moves no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u8);

/// The slot of each uplink, in the order of [`Gateway::uplinks`]; none written down: their indices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots(Vec<Slot>);

impl Slots {
    pub fn of(&self, uplink: UplinkId) -> Slot {
        self.0.get(uplink.index()).copied().unwrap_or(Slot(uplink.0))
    }

    /// Each name keeps the slot that it has; new names take those that nobody has or had, while there are any.
    pub fn keep<'n>(names: impl IntoIterator<Item = &'n Name> + Clone, known: &mut BTreeMap<Name, Slot>) -> Self {
        let all = || (0..=u8::MAX).map(Slot).take(limits::UPLINKS);
        for name in names.clone() {
            if known.contains_key(name) {
                continue;
            }
            let free = all().find(|slot| !known.values().any(|taken| taken == slot)).or_else(|| {
                let gone = known.iter().find(|(old, _)| !names.clone().into_iter().any(|name| name == *old));
                let (gone, slot) = gone.map(|(old, slot)| (old.clone(), *slot))?;
                known.remove(&gone);
                Some(slot)
            });
            // There are as many slots as uplinks, so one is always found.
            known.extend(free.map(|slot| (name.clone(), slot)));
        }
        Self(names.into_iter().filter_map(|name| known.get(name).copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(names: &str, known: &mut BTreeMap<Name, Slot>) -> Vec<u8> {
        let names: Vec<Name> = names.split(' ').map(|name| Name::new(name).expect("a name")).collect();
        let slots = Slots::keep(&names, known);
        (0..).map(UplinkId).zip(&names).map(|(id, _)| slots.of(id).0).collect()
    }

    #[test]
    fn a_name_keeps_its_slot_whatever_comes_and_goes() {
        let mut known = BTreeMap::new();
        assert_eq!(slots("fibre lte", &mut known), [0, 1]);
        assert_eq!(slots("adsl fibre lte", &mut known), [2, 0, 1], "sorted before the others, but new");
        assert_eq!(
            slots("lte sky", &mut known),
            [1, 3],
            "flows of what is gone may linger: its slot is not given away"
        );
        assert_eq!(slots("adsl fibre", &mut known), [2, 0]);
    }

    #[test]
    fn when_all_slots_were_used_those_of_the_gone_are_given_again() {
        let mut known = BTreeMap::new();
        let many: Vec<String> = (0..64).map(|index| format!("a{index}")).collect();
        slots(&many.join(" "), &mut known);
        assert_eq!(slots("b0 a1 b2", &mut known), [0, 1, known[&Name::new("b2").expect("a name")].0]);
        assert!(known.len() <= limits::UPLINKS);
        let distinct: std::collections::BTreeSet<Slot> = known.values().copied().collect();
        assert_eq!(distinct.len(), known.len());
    }
}
