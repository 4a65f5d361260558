//! What the kernel routes by, and how willing it is.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::model::{Family, Gateway, PathId, UplinkId};
use crate::engine::action::Switch;
use crate::policy::Selection;
use crate::time::Instant;

#[derive(Clone, Debug, Default)]
pub struct Kernel {
    installed: Vec<[Selection; 2]>,
    /// Switches under way, oldest first, and when they were asked for.
    pub asked: VecDeque<(Switch, Instant)>,
    /// One after the other: free again at.
    pub free: Instant,
    pub refuses_until: Instant,
    pub late_until: Instant,
    pub late_by: Duration,
}

impl Kernel {
    pub fn new(config: &Gateway) -> Self {
        Self { installed: vec![Default::default(); config.paths.len()], ..Self::default() }
    }

    pub fn installed(&self, path: PathId, family: Family) -> &Selection {
        &self.installed[path.index()][family.index()]
    }

    pub fn install(&mut self, path: PathId, family: Family, selection: Selection) {
        self.installed[path.index()][family.index()] = selection;
    }

    /// What a starting process finds.
    pub fn all(&self) -> Vec<(PathId, Family, Selection)> {
        let paths = (0u8..).map(PathId).zip(&self.installed);
        let found = paths.flat_map(|(path, both)| {
            Family::BOTH.into_iter().map(move |family| (path, family, both[family.index()].clone()))
        });
        found.filter(|(_, _, selection)| !selection.is_empty()).collect()
    }

    /// Does any path send new flows there?
    pub fn uses(&self, uplink: UplinkId) -> bool {
        self.installed.iter().flatten().any(|selection| selection.contains(uplink))
    }

    pub fn settled_at(&self) -> Instant {
        let late = if self.late_until > Instant::ORIGIN { self.late_until + self.late_by } else { Instant::ORIGIN };
        self.refuses_until.max(late)
    }
}
