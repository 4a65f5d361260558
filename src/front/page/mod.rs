//! The pages that people on the LAN read: [`staff`] for whoever stands behind the counter, [`it`] for a technician. Pure:
//! both are made from [`facts::Facts`], which come from the daemon's status and events and nothing else, so they cannot
//! say anything that `causeway status` does not.
//!
//! No script, no form, nothing from elsewhere, no cookie; one response below [`MOST_BYTES`].

pub mod facts;
pub mod html;
pub mod it;
pub mod messages;
pub mod staff;
pub mod timeline;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::trust::digest::Digest;
use html::Html;

/// A phone on a slow wireless network has it at once.
pub const MOST_BYTES: usize = 20_000;

/// The same for both pages: light, dark, print.
const STYLE: &str = include_str!("style.css");

/// `Content-Security-Policy`: our style, and nothing else from anywhere.
pub fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = STANDARD.encode(Digest::of(STYLE.as_bytes()).bytes());
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// Up to and with `<body>`. It renews itself as often as the spec says: a person who waits sees the end of an outage in
/// time, and fifty open tabs are nothing for the box.
fn head(html: &mut Html, language: &str) {
    html.raw("<!doctype html>\n<html lang=\"").text(language);
    html.raw(
        "\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n",
    );
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<meta http-equiv=\"refresh\" content=\"20\">\n");
    html.raw("<style>").raw(STYLE).raw("</style>\n");
}

#[cfg(test)]
mod tests;
