//! A config file, as head office or a person wrote it. What is accepted must be understood and compared without a panic.

#![no_main]

use causeway::{cli, config};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match config::parse_branch("gateway.toml", text) {
        Ok(branch) => {
            cli::config::summary(&branch);
            causeway::kernel::ruleset::Ruleset::new(&branch.gateway, &Default::default());
        }
        Err(faults) => {
            assert!(!faults.faults.is_empty(), "a refusal says why");
            let _ = faults.to_string();
        }
    }
});
