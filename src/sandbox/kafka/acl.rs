//! Who may do what: only what a rule allows, and nothing that one denies.
//! Whether a broker without rules allows everything is the broker's business. Specified in "Kafka documentation",
//! section 7.4 "Authorization and ACLs".

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::store::Store;

/// What rules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Resource {
    Topic = 2,
    Group = 3,
    Cluster = 4,
    TransactionalId = 5,
}

impl Resource {
    /// All of them.
    pub const EVERY: [Self; 4] = [
        Self::Topic,
        Self::Group,
        Self::Cluster,
        Self::TransactionalId,
    ];
}

/// How a rule names its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Pattern {
    Literal = 3,
    Prefixed = 4,
}

impl Pattern {
    /// All of them.
    pub const EVERY: [Self; 2] = [Self::Literal, Self::Prefixed];
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    ClusterAction = 9,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
}

impl Operation {
    /// All of them.
    pub const EVERY: [Self; 11] = [
        Self::All,
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Alter,
        Self::Describe,
        Self::ClusterAction,
        Self::DescribeConfigs,
        Self::AlterConfigs,
        Self::IdempotentWrite,
    ];

    /// Whether leave to do `self` is leave to do `wanted` too.
    fn implies(self, wanted: Self) -> bool {
        self == wanted
            || self == Self::All
            || (wanted == Self::Describe
                && matches!(self, Self::Read | Self::Write | Self::Delete | Self::Alter))
            || (wanted == Self::DescribeConfigs && self == Self::AlterConfigs)
    }
}

macro_rules! by_number {
    ($($kind:ty),*) => {$(
        impl $kind {
            /// The one with this number in the protocol.
            pub fn of(number: i8) -> Option<Self> {
                Self::EVERY.into_iter().find(|one| *one as i8 == number)
            }
        }
    )*};
}

by_number!(Resource, Pattern, Operation);

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// The kind of resource.
    pub resource: Resource,
    /// Its name, or the beginning of names; `*` is any.
    pub name: String,
    /// Which of the two.
    pub pattern: Pattern,
    /// `User:<name>`, or `User:*`.
    pub principal: String,
    /// The client's address, or `*`.
    pub host: String,
    /// What may be done.
    pub operation: Operation,
    /// Allow, or deny.
    pub allow: bool,
}

impl Acl {
    fn covers(&self, resource: Resource, name: &str) -> bool {
        self.resource == resource
            && match self.pattern {
                Pattern::Literal => self.name == "*" || self.name == name,
                Pattern::Prefixed => name.starts_with(&self.name),
            }
    }

    fn key(&self) -> String {
        json!(self).to_string()
    }
}

/// Picks rules; what is none matches all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The kind of resource.
    pub resource: Option<Resource>,
    /// The exact name in the rule.
    pub name: Option<String>,
    /// The kind of name.
    pub pattern: Option<Pattern>,
    /// Whether `name` picks rules that cover it, not those that name it.
    pub covering: bool,
    /// The principal.
    pub principal: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The operation.
    pub operation: Option<Operation>,
    /// Allow or deny.
    pub allow: Option<bool>,
}

impl Filter {
    fn picks(&self, acl: &Acl) -> bool {
        let named = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        let name = match &self.name {
            Some(name) if self.covering => acl.covers(acl.resource, name),
            name => named(name, &acl.name),
        };
        name && self.resource.is_none_or(|r| r == acl.resource)
            && self.pattern.is_none_or(|p| p == acl.pattern)
            && named(&self.principal, &acl.principal)
            && named(&self.host, &acl.host)
            && self.operation.is_none_or(|o| o == acl.operation)
            && self.allow.is_none_or(|a| a == acl.allow)
    }
}

/// The rules of a broker, in the store.
#[derive(Debug)]
pub struct Acls {
    store: Arc<Store>,
    table: String,
}

/// Somebody who asks, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The client's address.
    pub host: &'a str,
}

impl Acls {
    /// The rules in a table of the store.
    pub fn new(store: Arc<Store>, table: String) -> Self {
        Self { store, table }
    }

    /// Adds a rule; one that is there already stays one.
    pub fn add(&self, acl: &Acl) {
        self.store.put(&self.table, &acl.key(), json!(acl));
    }

    /// The rules that a filter picks.
    pub fn list(&self, filter: &Filter) -> Vec<Acl> {
        let rows = self.store.list(&self.table, "").0;
        rows.iter()
            .filter_map(|(_, row)| Acl::deserialize(&*row.value).ok())
            .filter(|acl| filter.picks(acl))
            .collect()
    }

    /// Removes the rules that a filter picks.
    pub fn remove(&self, filter: &Filter) -> Vec<Acl> {
        let doomed = self.list(filter);
        for acl in &doomed {
            self.store.delete(&self.table, &acl.key());
        }
        doomed
    }

    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.store.first(&self.table).is_none()
    }

    /// Whether a rule lets somebody do something with a resource, and none
    /// forbids it.
    pub fn allow(&self, who: Asker<'_>, wanted: Operation, on: Resource, name: &str) -> bool {
        let principal = format!("User:{}", who.user);
        let rules = self.list(&Filter::default());
        let mine = || {
            rules.iter().filter(|acl| {
                (acl.principal == principal || acl.principal == "User:*")
                    && (acl.host == "*" || acl.host == who.host)
                    && acl.covers(on, name)
            })
        };
        let denies = |acl: &Acl| {
            !acl.allow && matches!(acl.operation, op if op == wanted || op == Operation::All)
        };
        !mine().any(denies) && mine().any(|acl| acl.allow && acl.operation.implies(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, pattern: Pattern, operation: Operation, allow: bool) -> Acl {
        Acl {
            resource: Resource::Topic,
            name: name.into(),
            pattern,
            principal: "User:todo".into(),
            host: "*".into(),
            operation,
            allow,
        }
    }

    #[test]
    fn only_what_a_rule_allows_and_none_denies_may_be_done() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let acls = Acls::new(store, "acls".into());
        let may = |user: &str, op, name: &str| {
            let who = Asker {
                user,
                host: "127.0.0.1",
            };
            acls.allow(who, op, Resource::Topic, name)
        };
        assert!(acls.is_empty() && !may("todo", Operation::Write, "task-events"));
        acls.add(&rule("task-", Pattern::Prefixed, Operation::Read, true));
        assert!(may("todo", Operation::Read, "task-events"));
        assert!(
            may("todo", Operation::Describe, "task-events"),
            "reading implies it"
        );
        assert!(!may("todo", Operation::Write, "task-events"));
        assert!(!may("todo", Operation::Read, "reminders"));
        assert!(!may("anybody", Operation::Read, "task-events"));
        acls.add(&rule("*", Pattern::Literal, Operation::All, true));
        acls.add(&rule(
            "task-updates",
            Pattern::Literal,
            Operation::Write,
            false,
        ));
        assert!(may("todo", Operation::Write, "reminders"));
        assert!(!may("todo", Operation::Write, "task-updates"));
        let filter = Filter {
            allow: Some(false),
            ..Filter::default()
        };
        assert_eq!(acls.remove(&filter).len(), 1);
        assert!(may("todo", Operation::Write, "task-updates"));
        let covering = Filter {
            name: Some("task-events".into()),
            covering: true,
            ..Filter::default()
        };
        assert_eq!(acls.list(&covering).len(), 2);
    }
}
