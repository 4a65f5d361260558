//! How a change becomes known: its records are written first, then the audit chain, then the head, which the servers watch.

use std::time::{SystemTime, UNIX_EPOCH};

use super::audit::{self, Act};
use super::error::OfficeError;
use super::layout;
use super::records::Head;
use super::store::{Store, json};

/// Everything is there: writes down who did it, and tells the servers.
pub async fn publish(
    store: &Store,
    at: u64,
    by: &str,
    act: &Act,
    change: impl Fn(&mut Head),
) -> Result<Head, OfficeError> {
    let newest = head(store).await?.audit;
    let audit = audit::append(store, newest, at, by, act).await?;
    raise(store, |head| {
        head.audit = head.audit.max(audit);
        change(head);
    })
    .await
}

/// One generation more, whoever else does the same at this moment.
pub async fn raise(store: &Store, change: impl Fn(&mut Head)) -> Result<Head, OfficeError> {
    loop {
        let (mut head, was) = match store.record::<Head>(layout::HEAD).await? {
            Some((head, found)) => (head, Some(found)),
            None => (Head::default(), None),
        };
        change(&mut head);
        head.generation += 1;
        if store.replace(layout::HEAD, &json(&head), was.as_ref()).await? {
            return Ok(head);
        }
    }
}

/// Nothing published yet is generation 0.
pub async fn head(store: &Store) -> Result<Head, OfficeError> {
    Ok(store.record::<Head>(layout::HEAD).await?.map(|(head, _)| head).unwrap_or_default())
}

/// Seconds since 1970: head office has a clock that people trust, unlike a gateway.
#[expect(clippy::disallowed_methods, reason = "dates in documents and records are head office's to say")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
