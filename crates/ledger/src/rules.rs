//! The rules that give a buffer its class. They are a TOML file; `rules.toml` is the one that is used by default
//! and explains the form.

use crate::class::Class;
use serde::Deserialize;
use std::fmt;
use tt_memtrace_wire::{Alloc, BufferLayout, BufferType};

const SHIPPED: &str = include_str!("rules.toml");

/// What is known of a buffer beside its allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    pub(crate) during_open: bool,
    pub(crate) before_first_use: bool,
    pub(crate) freed_in_cache_clear: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Allocated {
    DuringOpen,
    BeforeFirstUse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Freed {
    InCacheClear,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    class: Class,
    #[serde(rename = "type")]
    types: Option<Vec<TypeName>>,
    layout: Option<Vec<LayoutName>>,
    max_per_bank_bytes: Option<u64>,
    min_size_bytes: Option<u64>,
    max_size_bytes: Option<u64>,
    allocated: Option<Allocated>,
    freed: Option<Freed>,
    ops_recorded: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct TypeName(BufferType);

impl TryFrom<String> for TypeName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        BufferType::from_name(&name).map(Self).ok_or_else(|| format!("no memory type is named {name:?}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct LayoutName(BufferLayout);

impl TryFrom<String> for LayoutName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        BufferLayout::from_name(&name).map(Self).ok_or_else(|| format!("no layout is named {name:?}"))
    }
}

impl Rule {
    fn holds(&self, alloc: &Alloc, facts: Facts, ops_recorded: bool) -> bool {
        let types = self.types.as_ref();
        let layouts = self.layout.as_ref();
        types.is_none_or(|types| types.contains(&TypeName(alloc.buffer_type)))
            && layouts.is_none_or(|layouts| layouts.contains(&LayoutName(alloc.layout)))
            && self.max_per_bank_bytes.is_none_or(|max| alloc.per_bank_bytes <= max)
            && self.min_size_bytes.is_none_or(|min| alloc.size_bytes >= min)
            && self.max_size_bytes.is_none_or(|max| alloc.size_bytes <= max)
            && self.ops_recorded.is_none_or(|wanted| wanted == ops_recorded)
            && self.allocated.is_none_or(|allocated| match allocated {
                Allocated::DuringOpen => facts.during_open,
                Allocated::BeforeFirstUse => facts.before_first_use,
            })
            && self.freed.is_none_or(|Freed::InCacheClear| facts.freed_in_cache_clear)
    }
}

/// Which class a buffer has, and which classes are leaks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    leaks: Vec<Class>,
    #[serde(default)]
    open_ops: Vec<String>,
    #[serde(default)]
    cache_clear_ops: Vec<String>,
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

impl Rules {
    /// Reads rules in the form of `rules.toml`.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        toml::from_str(text).map_err(|error| RulesError(error.to_string()))
    }

    /// Whether survivors of that class are leaks.
    pub fn is_leak(&self, class: Class) -> bool {
        self.leaks.contains(&class)
    }

    pub(crate) fn class(&self, alloc: &Alloc, facts: Facts, ops_recorded: bool) -> Class {
        let rule = self.rules.iter().find(|rule| rule.holds(alloc, facts, ops_recorded));
        rule.map_or(Class::Unattributed, |rule| rule.class)
    }

    pub(crate) fn opens_device(&self, op: &str) -> bool {
        self.open_ops.iter().any(|part| op.contains(part.as_str()))
    }

    pub(crate) fn clears_cache(&self, op: &str) -> bool {
        self.cache_clear_ops.iter().any(|part| op.contains(part.as_str()))
    }
}

impl Default for Rules {
    /// The shipped rules; a test holds that they can be read.
    fn default() -> Self {
        let none = || Self {
            leaks: Vec::new(),
            open_ops: Vec::new(),
            cache_clear_ops: Vec::new(),
            rules: Vec::new(),
        };
        Self::parse(SHIPPED).unwrap_or_else(|_| none())
    }
}

/// Why rules could not be read: names the line and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesError(String);

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for RulesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_can_be_read() {
        assert_eq!(Rules::parse(SHIPPED).map(|rules| rules.rules.len()), Ok(7));
    }

    #[test]
    fn a_wrong_rule_is_named() {
        for (text, said) in [
            ("leaks = [\"users\"]", "users"),
            ("leaks = []\n[[rule]]\nclass = \"user\"\ntype = [\"SRAM\"]", "SRAM"),
            ("leaks = []\n[[rule]]\nclass = \"user\"\nsize = 4", "size"),
            ("rule = 1", "rule"),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
