//! A claim: what a new gateway needs to find its head office and to be believed once. The token in it is single-use.

use super::audit::Act;
use super::error::OfficeError;
use super::folder::Folder;
use super::keyfile::random;
use super::layout;
use super::publish::publish;
use super::records::TokenRecord;
use super::release::known_site;
use super::store::Store;
use super::text;
use crate::trust::digest::Digest;
use crate::trust::document::Token;
use crate::trust::root::TrustedRoot;

/// Long enough for a parcel, short enough for one that is lost.
pub const DAYS: u64 = 7;

#[derive(Clone, Debug)]
pub struct Wanted {
    pub site: String,
    pub serial: Option<String>,
    pub batch: bool,
    pub by: String,
    pub at: u64,
}

/// Writes the token's digest to the store; gives the text of claim.toml.
pub async fn claim(
    folder: &Folder,
    store: &Store,
    root: &TrustedRoot,
    first: &Digest,
    wanted: Wanted,
) -> Result<String, OfficeError> {
    let Wanted { site, serial, batch, by, at } = wanted;
    known_site(folder, &site)?;
    let token = Token(random()?);
    let record = TokenRecord {
        secret: token.secret(),
        site: site.clone(),
        serial,
        batch,
        created_at: at,
        ends_at: at + DAYS * 24 * 3_600,
    };
    if !store.create_record(&layout::token(token.id()), &record).await? {
        return Err(OfficeError::Random);
    }
    publish(store, at, &by, &Act::Claim { site: site.clone(), batch }, |_| {}).await?;
    let offices: Vec<String> = root.root().offices.iter().map(office).collect();
    Ok(format!(
        "# Claim of {site}: good for {} and for {DAYS} days. Put it on the gateway as claim.toml.\n\
         tenant = {:?}\noffice = [{}]\nroot = \"{first}\"\ntoken = \"{}\"\n",
        if batch { "any number of gateways, each of which waits for a person" } else { "one gateway" },
        &*root.root().tenant,
        offices.join(", "),
        text::hex(&token.0),
    ))
}

fn office(office: &crate::trust::root::Office) -> String {
    let pins: Vec<String> = office.pins.iter().map(|pin| format!("\"{pin}\"")).collect();
    format!("{{ address = {:?}, pins = [{}] }}", &*office.address, pins.join(", "))
}
