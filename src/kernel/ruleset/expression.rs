//! Small builders over the typed nftables schema, so that the rules read like rules. A string reaches them only as a
//! literal or out of a newtype with a closed alphabet.

use std::borrow::Cow;
use std::collections::HashSet;

use ipnet::IpNet;
use nftables::expr::{
    BinaryOperation, CT, Expression, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression, Payload, PayloadField,
    Prefix, Range, SetItem,
};
use nftables::stmt::{Limit, Log, LogLevel, Mangle, Match, Operator, Reject, RejectType, Statement};

use crate::config::model::{Family, LinkName, PortRange};

pub(super) type Expr = Expression<'static>;
pub(super) type Stmt = Statement<'static>;

pub(super) fn meta(key: MetaKey) -> Expr {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) fn ct(key: &'static str) -> Expr {
    Expression::Named(NamedExpression::CT(CT { key: Cow::Borrowed(key), family: None, dir: None }))
}

pub(super) fn field(protocol: &'static str, name: &'static str) -> Expr {
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol: Cow::Borrowed(protocol),
        field: Cow::Borrowed(name),
    })))
}

pub(super) fn text(word: &'static str) -> Expr {
    Expression::String(Cow::Borrowed(word))
}

/// `destination is an address of this machine`, by the kernel's own routing table.
pub(super) fn to_this_machine() -> Stmt {
    let fib = Fib { result: FibResult::Type, flags: HashSet::from([FibFlag::Daddr]) };
    equal(Expression::Named(NamedExpression::Fib(fib)), text("local"))
}

pub(super) fn masked(left: Expr, mask: u32) -> Expr {
    Expression::BinaryOperation(Box::new(BinaryOperation::AND(left, Expression::Number(mask))))
}

pub(super) fn with_bits(left: Expr, bits: u32) -> Expr {
    Expression::BinaryOperation(Box::new(BinaryOperation::OR(vec![left, Expression::Number(bits)])))
}

fn matching(left: Expr, op: Operator, right: Expr) -> Stmt {
    Statement::Match(Match { left, right, op })
}

pub(super) fn equal(left: Expr, right: Expr) -> Stmt {
    matching(left, Operator::EQ, right)
}

pub(super) fn not_equal(left: Expr, right: Expr) -> Stmt {
    matching(left, Operator::NEQ, right)
}

/// Of a bit field (`ct state`, TCP flags): any of these bits.
pub(super) fn any_bit(left: Expr, bits: &[&'static str]) -> Stmt {
    matching(left, Operator::IN, Expression::List(bits.iter().map(|bit| text(bit)).collect()))
}

pub(super) fn state(states: &[&'static str]) -> Stmt {
    any_bit(ct("state"), states)
}

pub(super) fn original_direction() -> Stmt {
    equal(ct("direction"), text("original"))
}

pub(super) fn family(family: Family) -> Stmt {
    equal(meta(MetaKey::Nfproto), text(family.name()))
}

pub(super) fn protocol(name: &'static str) -> Stmt {
    equal(meta(MetaKey::L4proto), text(name))
}

/// Members of a named set.
pub(super) fn set_reference(name: &'static str) -> Expr {
    Expression::String(Cow::Owned(format!("@{name}")))
}

/// One value as itself, several as an anonymous set. `None` for none: a rule that can match nothing is left out by its
/// builder, because nft refuses an empty set.
pub(super) fn one_of(values: Vec<Expr>) -> Option<Expr> {
    let mut values = values;
    match values.len() {
        0 => None,
        1 => values.pop(),
        _ => Some(Expression::Named(NamedExpression::Set(values.into_iter().map(SetItem::Element).collect()))),
    }
}

pub(super) fn words(words: &[&'static str]) -> Expr {
    one_of(words.iter().map(|word| text(word)).collect()).expect("called with literals, never with none")
}

pub(super) fn device(name: &LinkName) -> Expr {
    Expression::String(Cow::Owned(name.as_str().to_owned()))
}

pub(super) fn network(net: IpNet) -> Expr {
    Expression::Named(NamedExpression::Prefix(Prefix {
        addr: Box::new(Expression::String(Cow::Owned(net.network().to_string()))),
        len: u32::from(net.prefix_len()),
    }))
}

pub(super) fn ports(range: PortRange) -> Expr {
    if range.first == range.last {
        Expression::Number(u32::from(range.first))
    } else {
        Expression::Range(Box::new(Range {
            range: [Expression::Number(u32::from(range.first)), Expression::Number(u32::from(range.last))],
        }))
    }
}

/// Name of the family's header in payload expressions.
pub(super) fn header(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

pub(super) fn set(key: Expr, value: Expr) -> Stmt {
    Statement::Mangle(Mangle { key, value })
}

pub(super) fn limit(per_second: u32, burst: u32) -> Stmt {
    Statement::Limit(Limit {
        rate: per_second,
        rate_unit: None,
        per: Some(Cow::Borrowed("second")),
        burst: Some(burst),
        burst_unit: None,
        inv: None,
    })
}

/// Matches what comes faster than so many bytes a second, after a burst of `burst` bytes.
pub(super) fn above(bytes_per_second: u64, burst: u32) -> Stmt {
    // nft counts in 32 bits here: beyond 34 Gbit/s in kilobytes.
    let (rate, unit) = match u32::try_from(bytes_per_second) {
        Ok(rate) => (rate, "bytes"),
        Err(_) => (u32::try_from(bytes_per_second >> 10).unwrap_or(u32::MAX), "kbytes"),
    };
    Statement::Limit(Limit {
        rate,
        rate_unit: Some(Cow::Borrowed(unit)),
        per: Some(Cow::Borrowed("second")),
        burst: Some(burst),
        burst_unit: Some(Cow::Borrowed("bytes")),
        inv: Some(true),
    })
}

pub(super) fn log(prefix: &'static str) -> Stmt {
    Statement::Log(Some(Log { prefix: Some(Cow::Borrowed(prefix)), level: Some(LogLevel::Info), ..Log::new(None) }))
}

pub(super) fn reset() -> Stmt {
    Statement::Reject(Some(Reject::new(Some(RejectType::TCPReset), None)))
}

pub(super) fn counter() -> Stmt {
    Statement::Counter(nftables::stmt::Counter::Anonymous(None))
}

pub(super) fn accept() -> Stmt {
    Statement::Accept(None)
}

pub(super) fn drop() -> Stmt {
    Statement::Drop(None)
}

pub(super) fn goto(chain: &'static str) -> Stmt {
    Statement::Goto(nftables::stmt::JumpTarget { target: Cow::Borrowed(chain) })
}
