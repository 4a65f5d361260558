//! Who may come in by SSH, as sshd reads it: one key a line. Nobody's key is in a file of the image, and what is written
//! here has the alphabet of keys and names only.

use super::text::Refused;
use crate::config::branch::{Access, SshKey};

/// In [`super::Paths::access`].
pub(super) const KEYS: &str = "authorized_keys";

/// `None`: nobody, and no file.
pub(super) fn keys(access: &Access) -> Result<Option<String>, Refused> {
    let mut text = String::new();
    for SshKey { name, key } in &access.ssh {
        let refused = || Refused { key: "ssh", value: key.clone() };
        let (kind, base64) = key.split_once(' ').ok_or_else(refused)?;
        let of_kind = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-@.".contains(&byte);
        let of_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        if kind.is_empty() || base64.is_empty() || !kind.bytes().all(of_kind) || !base64.bytes().all(of_base64) {
            return Err(refused());
        }
        text.push_str(&format!("{kind} {base64} {name}\n"));
    }
    Ok((!text.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Name;

    fn written(key: &str) -> Result<Option<String>, Refused> {
        let name = Name::try_from("anna".to_owned()).expect("a name");
        keys(&Access { ssh: vec![SshKey { name, key: key.to_owned() }], overriding: None })
    }

    #[test]
    fn a_key_is_one_line_and_options_or_more_lines_are_refused() {
        assert_eq!(written("ssh-ed25519 AAAA+/=="), Ok(Some("ssh-ed25519 AAAA+/== anna\n".to_owned())));
        assert_eq!(keys(&Access::default()), Ok(None));
        for hostile in ["", "ssh-ed25519", "command=\"sh\" AAAA", "ssh-ed25519 AAAA\nssh-rsa B", "ssh-ed25519 AA AA"] {
            assert!(written(hostile).is_err(), "{hostile}");
        }
    }
}
