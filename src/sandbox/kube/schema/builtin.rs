//! The types of the built-in kinds, read once from the tables in `types/`.
//!
//! The tables state the field names, types, list keys, merge keys and protobuf
//! numbers of Kubernetes' published API (1.36), one line per field; `parse.rs`
//! describes the notation.

use std::sync::{Arc, LazyLock};

use super::{Types, parse};

const TABLES: [&str; 22] = [
    include_str!("types/meta.v1.types"),
    include_str!("types/core.v1.types"),
    include_str!("types/apps.v1.types"),
    include_str!("types/batch.v1.types"),
    include_str!("types/autoscaling.v1.types"),
    include_str!("types/autoscaling.v2.types"),
    include_str!("types/networking.v1.types"),
    include_str!("types/rbac.v1.types"),
    include_str!("types/policy.v1.types"),
    include_str!("types/storage.v1.types"),
    include_str!("types/admissionregistration.v1.types"),
    include_str!("types/apiextensions.v1.types"),
    include_str!("types/apiregistration.v1.types"),
    include_str!("types/coordination.v1.types"),
    include_str!("types/discovery.v1.types"),
    include_str!("types/events.v1.types"),
    include_str!("types/scheduling.v1.types"),
    include_str!("types/certificates.v1.types"),
    include_str!("types/node.v1.types"),
    include_str!("types/authentication.v1.types"),
    include_str!("types/authorization.v1.types"),
    include_str!("types/metrics.v1beta1.types"),
];

static BUILTIN: LazyLock<Arc<Types>> = LazyLock::new(|| {
    let mut types = Types::default();
    for table in TABLES {
        parse::table(&mut types, table);
    }
    parse::finish(&mut types);
    Arc::new(types)
});

/// The arena of all built-in types.
pub fn builtin() -> Arc<Types> {
    BUILTIN.clone()
}

/// An arena with only the types of object metadata, to build upon.
pub(super) fn metadata_types() -> Types {
    let mut types = Types::default();
    parse::table(&mut types, TABLES[0]);
    parse::finish(&mut types);
    types
}

#[cfg(test)]
mod tests {
    use super::super::{Scalar, Topology, Type};
    use super::*;

    #[test]
    fn every_named_type_is_defined() {
        let types = builtin();
        let missing: Vec<_> = types
            .names()
            .filter(|(_, id)| !matches!(types.get(*id), Type::Object(_)))
            .map(|(name, _)| name.to_owned())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(types.names().count() > 300);
    }

    #[test]
    fn a_container_port_is_known_by_number_and_defaulted_protocol() {
        let types = builtin();
        let container = types.named("core.v1.Container").unwrap();
        let Type::List(ports) = types.get(types.field(container, "ports").unwrap()) else {
            panic!("a list")
        };
        assert_eq!(
            ports.topology,
            Topology::Map(vec![
                ("containerPort".into(), Some(0.into())),
                ("protocol".into(), Some("TCP".into()))
            ])
        );
        let name = types.field(container, "name").unwrap();
        assert!(matches!(types.get(name), Type::Scalar(Scalar::String)));
    }
}
