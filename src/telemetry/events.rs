//! Every kind of event: its name, its level, its `MESSAGE_ID`. `docs/events.md` repeats this table, a test compares.
//!
//! An id is UUIDv5 of the name in [`NAMESPACE`]. It is written out so that `journalctl MESSAGE_ID=…` can be copied from
//! here, and is never changed or reused.

use serde::{Deserialize, Serialize};

/// Of all `MESSAGE_ID`s.
pub const NAMESPACE: u128 = 0x5c0f_6a1e_8f0b_4d5e_9a37_2b6f_0c1d_7e94;

/// As syslog knows them; the number is the journal's `PRIORITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

impl Level {
    pub fn priority(self) -> u8 {
        self as u8
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

macro_rules! kinds {
    ($($(#[doc = $why:literal])+ $variant:ident $name:literal $level:ident $id:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $why])+ $variant,)+
        }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            pub fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)+ }
            }

            pub fn message_id(self) -> u128 {
                match self { $(Self::$variant => $id,)+ }
            }

            /// What it tells, for `docs/events.md`.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => concat!($($why,)+).trim_ascii(),)+ }
            }
        }
    };
}

kinds! {
    /// An uplink changed its state; suspicions that came to nothing are only counted.
    UplinkState "uplink.state" Notice 0x02d8cf99_77a15a7c_a04fdcda_6539483d;
    /// A path moved to other uplinks, and the kernel was read back right.
    PathSwitch "path.switch" Notice 0xe8d2a742_ef7d51e0_a4c8ed24_e53ce850;
    /// A drill ended or was refused.
    DrillResult "drill.result" Notice 0x035f258c_842a5ca9_a0558a59_9d530594;
    /// Another config is in force.
    ConfigApplied "config.applied" Notice 0x77178360_da2e5b87_87950f56_5964dabe;
    /// An operator forbade switching, or allowed it again.
    LockChanged "lock.changed" Notice 0x2321e5f1_405b547e_9e2c9d32_da8caad6;
    /// An operator chose an uplink, or gave the choice back.
    PreferenceChanged "preference.changed" Notice 0x67407303_774955b2_8faf131b_1b1f078f;
    /// The daemon runs; what it was told to do.
    DaemonStarted "daemon.started" Notice 0xfd53c33d_2810567e_9370f4c6_90b8a3b3;
    /// The daemon ends; forwarding goes on.
    DaemonStopped "daemon.stopped" Notice 0xf90d0898_0daa534c_87c2ace2_0cfda08a;
    /// A path stays where it is, for now: too soon, or the better uplink flaps.
    SwitchHeld "switch.held" Info 0x2b3ab97f_7cd45e10_81b78709_21906f12;
    /// A path stays where it is: nowhere to go, locked, no budget, just started, or we know too little.
    SwitchSuppressed "switch.suppressed" Info 0x150f234a_289f5390_976d3ee0_a82a09db;
    /// An outage is over.
    OutageClosed "outage.closed" Info 0x8d7d2642_70f853d1_ad1cec6e_e7c928e3;
    /// A drill began.
    DrillStarted "drill.started" Info 0x155598ea_4cab5d56_9cd94762_f9b650d7;
    /// So many lines of one kind were not written.
    LogHeld "log.held" Info 0x0f25624a_ad325375_a57bef33_5e43e138;
    /// An outage began; where it broke, if that is known.
    OutageOpened "outage.opened" Warning 0x026f2407_5da45eff_baf19a62_03b1a9a8;
    /// Where an outage is, if that was not known when it began.
    OutageCause "outage.cause" Warning 0xf9e37f4e_8f12538f_a43b3df3_79777669;
    /// Somebody changed what is ours in the kernel; it was put back.
    KernelRepaired "kernel.repaired" Warning 0x15e406ad_ff785c5d_abfedccd_b0e6152c;
    /// A metered uplink used so much of its plan.
    PlanStep "plan.step" Warning 0x293e462c_92825166_8afa0a63_88628733;
    /// A target is silent on every uplink at once: it is at fault, not the lines. Or it answers again.
    TargetSuspect "target.suspect" Warning 0x7480980b_59045da2_87681e5e_9cbca649;
    /// The daemon itself was not running for a while; probes of that time say nothing.
    DaemonStalled "daemon.stalled" Warning 0xebda74a6_fba05025_a91743ce_0054fd86;
    /// The box was off: how long, and why.
    PowerLost "power.lost" Warning 0x0598aa65_f8e9591a_9306a60c_40ce4bb4;
    /// The ledger's disk is full, read-only or slow: records wait in memory. Or it is written again.
    LedgerStalled "ledger.stalled" Err 0x010a4d07_fde25ea2_a22e8cbd_b6e26e83;
    /// The ledger had to be mended at the start; what was wrong is kept.
    LedgerBroken "ledger.broken" Err 0x1d40f43b_42a5543b_8389382b_cd104e9f;
    /// The kernel refused a change; it will be tried again.
    ApplyFailed "apply.failed" Err 0xe2cd1079_843b5019_86e2d155_a2eafe9e;
}

/// Names of the fields beside a sentence, `CAUSEWAY_UPLINK` and so on in the journal.
pub type Fields = Vec<(&'static str, String)>;

/// One event in words. The sentence stands alone; the fields are for machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    pub message: String,
    pub fields: Fields,
}

impl Line {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), fields: Vec::new() }
    }

    pub fn with(mut self, field: &'static str, value: impl ToString) -> Self {
        self.fields.push((field, value.to_string()));
        self
    }
}

/// A line as `causeway events` gets it. Names are text here: a client may be older than the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Counts up from the start of the daemon; a gap means that some were left out.
    pub seq: u64,
    /// UTC; absent if the clock was not trusted then.
    pub wall_ms: Option<u64>,
    /// Since the machine started.
    pub boot_ms: u64,
    pub kind: String,
    pub level: Level,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
