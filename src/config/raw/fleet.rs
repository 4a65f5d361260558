//! What only head office writes: the standard's head, variables, sites, the inventory and the office's own settings.

use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::calendar::Date;
use super::read::{Node, Value, table, words};
use super::services::Endpoint;
use super::text::{Line, Percent, Phone};
use super::values::{Key, List, Named, Text};
use super::wire::{Bad, Input, put_count, put_leaf};
use crate::config::branch::Version;
use crate::config::fault::{Collector, Kind, quoted};
use crate::config::fleet::Wave;
use crate::config::model::{HttpUrl, Name};
use crate::config::vars::{VarName, VarType, VarValue};

table! {
    /// What the standard is called, and which gateways can take it.
    Head: "a table", "{ name = \"retail\", schema = 1, models = [\"cw-x1\"] }" {
        /// 1 to 32 of a-z, 0-9 and "-".
        name: required Name,
        /// Version of this schema: 1.
        schema: required i64,
        /// Models of gateways that it is made for; 1 to 16.
        models: required List<Name>,
        /// Oldest firmware that can take it, "1.4". Default: any.
        min_firmware: optional Version,
    }
}

table! {
    /// A variable: what a site may set, and within which bounds.
    Var: "a variable", "{ type = \"rate\", min = \"2mbit\", max = \"1gbit\" }" {
        /// bool, int, rate, bytes, duration, percent, word, text, addr4, prefix4, prefix6, mac, vlan, timezone, week, one_of or list.
        r#type = "type": required VarType,
        /// With list: the type of its entries.
        of: optional VarType,
        /// Least value of a number, rate, amount or duration; required for these, but for percent and vlan.
        min: optional Scalar,
        /// Its greatest value.
        max: optional Scalar,
        /// With addr4, prefix4 and prefix6: the prefix it must be in; required.
        within: optional IpNet,
        /// With prefix4 and prefix6: its length; required.
        len: optional i64,
        /// Characters of a word (1 to 32) or text (1 to 64), entries of a list (1 to 64). Default: the most.
        max_len: optional i64,
        /// The values there are, or the entries that a list may have; required with both. At most 64.
        one_of: optional List<Scalar>,
        /// true: no two sites may have the same, and prefixes must not overlap. Default: false.
        unique: optional bool,
        /// What a site has that sets nothing. Default: none, so that each site must set it.
        default: optional Given,
        /// A boolean variable: only where it is true a value is needed.
        needed_if: optional VarName,
    }
}

words!(VarType: "a type of variable", "\"rate\"; docs/config.md has them all" {
    "bool" => Self::Bool,
    "int" => Self::Int,
    "rate" => Self::Rate,
    "bytes" => Self::Bytes,
    "duration" => Self::Duration,
    "percent" => Self::Percent,
    "word" => Self::Word,
    "text" => Self::Text,
    "addr4" => Self::Addr4,
    "prefix4" => Self::Prefix4,
    "prefix6" => Self::Prefix6,
    "mac" => Self::Mac,
    "vlan" => Self::Vlan,
    "timezone" => Self::Timezone,
    "week" => Self::Week,
    "one_of" => Self::OneOf,
    "list" => Self::List,
});

/// A value whose type its variable knows: a string, a whole number or a boolean, as its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scalar(pub(crate) String);

impl Value for Scalar {
    const WHAT: &'static str = "a value";
    const EXAMPLE: &'static str = "a string, a whole number, true or false";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        match node.value {
            DeValue::String(text) => Some(Self(text.to_string())),
            DeValue::Integer(_) => i64::read(node, faults).map(|number| Self(number.to_string())),
            DeValue::Boolean(value) => Some(Self(value.to_string())),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                node.not_a::<Self>(faults);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": ["string", "integer", "boolean"] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_leaf(&self.0, out);
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        Ok(Self(input.leaf::<&str>(key)?.to_owned()))
    }
}

/// A value of a variable as it is written; a list if the variable is one.
#[derive(Clone, Debug)]
pub(crate) struct Given(pub(crate) VarValue);

impl Value for Given {
    const WHAT: &'static str = "a value";
    const EXAMPLE: &'static str = "a string, a whole number, true or false, or a list of them";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        if let DeValue::Array(_) = node.value {
            let list = List::<Scalar>::read(node, faults)?;
            let texts = list.entries.into_iter().map(|at| at.value.0).collect();
            return list.whole.then_some(Self(VarValue::Many(texts)));
        }
        Scalar::read(node, faults).map(|scalar| Self(VarValue::One(scalar.0)))
    }

    fn schema() -> Json {
        json!({ "anyOf": [Scalar::schema(), { "type": "array", "items": Scalar::schema() }] })
    }

    fn put(&self, out: &mut Vec<u8>) {
        match &self.0 {
            VarValue::One(text) => {
                put_leaf(&0_u8, out);
                put_leaf(text, out);
            }
            VarValue::Many(texts) => {
                put_leaf(&1_u8, out);
                put_count(texts.len(), out);
                texts.iter().for_each(|text| put_leaf(text, out));
            }
        }
    }

    fn take(input: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        match input.leaf::<u8>(key)? {
            0 => Ok(Self(VarValue::One(input.leaf::<&str>(key)?.to_owned()))),
            1 => {
                let mut texts = Vec::new();
                for _ in 0..input.count(key)? {
                    texts.push(input.leaf::<&str>(key)?.to_owned());
                }
                Ok(Self(VarValue::Many(texts)))
            }
            _ => Err(Bad::new(key, "it is neither a value nor a list")),
        }
    }
}

impl Text for Version {
    const WHAT: &'static str = "a version";
    const EXAMPLE: &'static str = "\"1.4\" or \"1.4.2\"";

    fn parse(text: &str) -> Result<Self, (Kind, String)> {
        let plain = |part: &&str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.split('.').collect();
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(plain) {
            return Err((Kind::Format, format!("{} is not two or three numbers", quoted(text))));
        }
        let number = |index: usize| parts.get(index).and_then(|part| part.parse().ok()).unwrap_or(0);
        Ok(Self { major: number(0), minor: number(1), patch: number(2) })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

table! {
    /// One branch: sites/NAME.toml.
    SiteFile: "a site", "vars = { … }" {
        /// Values of the standard's variables, for this branch.
        vars: optional Named<Given, VarName>,
    }
}

table! {
    /// inventory.toml: nothing secret; it also feeds reports, alerts and service discovery.
    Inventory: "an inventory", "[sites] …" {
        /// The branches, by the names of their files in sites/.
        sites: required Named<InventorySite>,
        /// The gateways, by serial number.
        gateways: optional Named<InventoryGateway, Serial>,
        /// What the providers owe.
        contracts: optional Named<Contract>,
    }
}

table! {
    /// A branch.
    InventorySite: "a table", "{ name = \"Lyon Bellecour\", owner = \"Anna Petit\" }" {
        /// Shown in status, pages, metrics and reports. 1 to 64 printable characters.
        name: required Line,
        /// Whom to call; a person. 1 to 64 printable characters.
        owner: required Line,
        /// Where it is. 1 to 64 printable characters. Default: not shown.
        address: optional Line,
        /// The branch's telephone: "+33 4 00 00 00 00". Default: none is shown.
        phone: optional Phone,
    }
}

table! {
    /// A gateway.
    InventoryGateway: "a table", "{ site = \"lyon-bellecour\", model = \"cw-x1\", lifecycle = \"active\" }" {
        /// The branch it stands in. Required for an active one.
        site: optional Name,
        /// Its model; the standard must name it.
        model: required Name,
        /// planned, active, spare, retiring or retired. One site has one active gateway.
        lifecycle: required Lifecycle,
        /// The maker's last day of support, 2031-12-31. Default: not known.
        support_ends: optional Date,
    }
}

/// Where a gateway stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Planned,
    Active,
    Spare,
    Retiring,
    Retired,
}

words!(Lifecycle: "a lifecycle", "\"planned\", \"active\", \"spare\", \"retiring\" or \"retired\"" {
    "planned" => Self::Planned,
    "active" => Self::Active,
    "spare" => Self::Spare,
    "retiring" => Self::Retiring,
    "retired" => Self::Retired,
});

table! {
    /// What a provider owes one line.
    Contract: "a table", "{ line = { site = \"lyon-bellecour\", uplink = \"fibre\" }, isp = { provider = \"FibreCo\" } }" {
        /// Which line it is.
        line: required ContractLine,
        /// Who sells it, and on which terms.
        isp: required Isp,
    }
}

table! {
    /// Which line it is.
    ContractLine: "a table", "{ site = \"lyon-bellecour\", uplink = \"fibre\", circuit = \"FC-883-112\" }" {
        /// The branch.
        site: required Name,
        /// The uplink of the standard; one contract each.
        uplink: required Name,
        /// The provider's number of the line. 1 to 64 printable characters. Default: not shown.
        circuit: optional Line,
    }
}

table! {
    /// Who sells it, and on which terms.
    Isp: "a table", "{ provider = \"FibreCo\", support = \"+33 8 00 00 00 00\" }" {
        /// Who sells the line. 1 to 64 printable characters.
        provider: required Line,
        /// Whom to call when it fails. Default: nobody is shown.
        support: optional Phone,
        /// The contract's last day, 2027-03-31. Default: not known.
        ends: optional Date,
        /// Promised share of a month, "99.5%". Default: nothing is promised.
        availability: optional Percent,
        /// Promised time to repair, 5m to 30d. Default: nothing is promised.
        restore: optional Duration,
    }
}

table! {
    /// office.toml: head office's own settings.
    Office: "head office's settings", "tenant = \"petit-shops\"" {
        /// The name of the fleet; it stands in every signed document.
        tenant: required Name,
        /// Where gateways reach head office; at most 8.
        addresses: required List<HttpUrl>,
        /// Where head office keeps its state: a folder, or "s3://BUCKET/PREFIX". Default: the folder `store` beside this file.
        store: optional Line,
        /// Sizes of the parts of a roll-out: numbers of branches or shares, then the rest. Default: 1, 5, 60, 1%, 10%, 40%.
        waves: optional List<Wave>,
        /// People who must agree to a standard, 1 to 5. Default: 1.
        approvals: optional i64,
        /// Where the server listens for gateways, ADDRESS:PORT; at most 8. Default: ports that systemd opens, else port 443 everywhere.
        listen: optional List<Endpoint>,
        /// Where the server answers path proofs, ADDRESS:PORT; at most 8. Default: nowhere.
        responders: optional List<Endpoint>,
        /// Where figures are kept.
        metrics: optional Metrics,
    }
}

table! {
    /// Where figures are kept.
    Metrics: "a table", "{ backend = \"http://127.0.0.1:9090/api/v1/write\" }" {
        /// Takes Prometheus remote write.
        backend: required HttpUrl,
    }
}

impl Value for Wave {
    const WHAT: &'static str = "the size of a wave";
    const EXAMPLE: &'static str = "5 or \"10%\"";

    fn read(node: &Node<'_, '_>, faults: &mut Collector<'_>) -> Option<Self> {
        let text = Scalar::read(node, faults)?.0;
        let wave = match text.strip_suffix('%') {
            Some(digits) => digits.parse().ok().filter(|share| (1..=100).contains(share)).map(Self::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Branches),
        };
        if wave.is_none() {
            node.wrong::<Self>(
                Kind::Range,
                format!("{} is neither a number of branches nor 1% to 100%", quoted(&text)),
                faults,
            );
        }
        wave
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "^[0-9]{1,3}%$" }] })
    }

    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut Input<'_>, key: &str) -> Result<Self, Bad> {
        Err(Bad::new(key, "no section has waves"))
    }
}

/// What stands on a gateway's label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serial(pub(crate) String);

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key for Serial {
    const WHAT: &'static str = "a serial number";
    const HINT: &'static str = "a serial number has 1 to 32 characters of A-Z, a-z, 0-9 and \"-\"";
    const PATTERN: &'static str = "^[A-Za-z0-9-]{1,32}$";

    fn of(text: &str) -> Result<Self, String> {
        let good = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if good { Ok(Self(text.to_owned())) } else { Err("its length or a character is not allowed".to_owned()) }
    }
}

impl Key for VarName {
    const WHAT: &'static str = "a variable's name";
    const HINT: &'static str = "a variable's name has 1 to 32 characters of a-z, 0-9 and \"_\"";
    const PATTERN: &'static str = "^[a-z0-9_]{1,32}$";

    fn of(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|error| error.to_string())
    }
}

impl Text for VarName {
    const WHAT: &'static str = "a variable's name";
    const EXAMPLE: &'static str = "\"site_net\" (1 to 32 of a-z, 0-9 and \"_\")";

    fn parse(text: &str) -> Result<Self, (Kind, String)> {
        Self::new(text).map_err(|error| (Kind::Alphabet, format!("{}: {error}", quoted(text))))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
