//! Enrolment: a token is used up by one device, by a put that only one can win. Whoever asks again with the same key gets
//! the same answer, because an answer can be lost.

use super::answer::{document_answer, plain};
use super::desk::Desk;
use super::http::Answer;
use crate::office::audit::Act;
use crate::office::compile::{seconds, text};
use crate::office::error::OfficeError;
use crate::office::layout;
use crate::office::publish::{now, publish};
use crate::office::records::{DeviceRecord, Standing, TokenRecord, UsedRecord};
use crate::trust::document::{Admission, EnrolReceipt, EnrolRequest};
use crate::trust::verify::enrol_request;

pub(super) async fn enrol(desk: &Desk, body: &[u8]) -> Result<Answer, OfficeError> {
    let Ok(request) = enrol_request(body) else { return Ok(plain(403)) };
    if request.tenant != desk.tenant {
        return Ok(plain(403));
    }
    let at = now();
    let Some(token) = token(desk, &request, at).await? else { return Ok(plain(403)) };
    let known = desk.take_device(request.device).await?;
    let record = match known {
        Some(entry) => entry.record(),
        None => {
            let record = DeviceRecord {
                signing: request.signing,
                sealing: request.sealing,
                serial: request.serial.to_string(),
                model: request.model.to_string(),
                firmware: request.firmware,
                site: token.site.clone(),
                standing: standing(desk, &token, &request),
                enrolled_at: at,
                order_nonce: request.order_nonce,
            };
            desk.store.create_record(&layout::device(request.device), &record).await?;
            let act = Act::Enrol {
                site: record.site.clone(),
                device: request.device.0.to_string(),
                serial: record.serial.clone(),
                standing: record.standing,
            };
            publish(&desk.store, at, "office serve", &act, |_| {}).await?;
            match desk.take_device(request.device).await? {
                Some(entry) => entry.record(),
                None => return Ok(plain(503)),
            }
        }
    };
    let receipt = EnrolReceipt {
        tenant: desk.tenant.clone(),
        device: request.device,
        nonce: request.nonce,
        site: text("the site's name", &record.site)?,
        admission: match record.standing {
            Standing::Accepted => Admission::Accepted,
            Standing::Waiting => Admission::Waiting,
            Standing::WaitingReplacement | Standing::Replaced => Admission::WaitingReplacement,
        },
        time: seconds(at),
    };
    Ok(document_answer(desk.signed(&receipt)?))
}

/// The token that the request proves to hold, if it may still be used, and by this device.
async fn token(desk: &Desk, request: &EnrolRequest, at: u64) -> Result<Option<TokenRecord>, OfficeError> {
    let Some((token, _)) = desk.store.record::<TokenRecord>(&layout::token(request.token)).await? else {
        return Ok(None);
    };
    let other_box = token.serial.as_ref().is_some_and(|serial| *serial != *request.serial);
    if !request.is_proved(&token.secret) || other_box {
        return Ok(None);
    }
    if token.batch {
        return Ok((at < token.ends_at).then_some(token));
    }
    // A device that used it up in time may ask again later.
    let used = UsedRecord { device: request.device.0, at };
    let key = layout::used(request.token);
    let mine = match desk.store.record::<UsedRecord>(&key).await? {
        Some((used, _)) => used.device == request.device.0,
        None if at >= token.ends_at => false,
        None => {
            desk.store.create_record(&key, &used).await?
                || desk.store.record::<UsedRecord>(&key).await?.is_some_and(|(used, _)| used.device == request.device.0)
        }
    };
    Ok(mine.then_some(token))
}

/// A serial or a site that has another key already waits: a person has to say that the old box is gone.
fn standing(desk: &Desk, token: &TokenRecord, request: &EnrolRequest) -> Standing {
    let others = desk.devices().into_iter().map(|entry| entry.record());
    let taken = others.filter(|other| other.standing == Standing::Accepted && other.signing != request.signing);
    let mut taken =
        taken.filter(|other| *other.serial == *request.serial || (!token.batch && other.site == token.site));
    if taken.next().is_some() {
        Standing::WaitingReplacement
    } else if token.batch {
        Standing::Waiting
    } else {
        Standing::Accepted
    }
}
