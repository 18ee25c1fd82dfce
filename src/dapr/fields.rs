//! The metadata of the component types that todoctl knows: components-contrib
//! 1.18.4 and Dapr's own runtime settings.
//!
//! Dapr ignores a metadata name that it does not know, so a slip is silent
//! until something does not work.

/// A component type in one version.
#[derive(Debug)]
pub(super) struct Type {
    /// Such as `pubsub.kafka`.
    pub name: &'static str,
    /// The versions that Dapr has of it.
    pub versions: &'static [&'static str],
    /// Names that must be there.
    pub required: &'static [&'static str],
    /// Sets of names of which one must be there.
    pub one_of: &'static [&'static [&'static str]],
    /// All other names.
    pub optional: &'static [&'static str],
    /// Names with few values; anything else is a mistake, whatever Dapr does
    /// with it.
    pub words: &'static [(&'static str, &'static [&'static str])],
    /// Names whose values belong into a secret.
    pub secret: &'static [&'static str],
    /// What names may begin with beyond the lists.
    pub prefixes: &'static [&'static str],
}

const BOOL: &[&str] = &["true", "false"];

/// Settings of the runtime that every pub/sub component takes.
const PUBSUB: &[&str] = &[
    "allowedTopics",
    "protectedTopics",
    "publishingScopes",
    "subscriptionScopes",
];

pub(super) const TYPES: &[Type] = &[
    Type {
        name: "pubsub.kafka",
        versions: &["v1"],
        required: &["brokers", "authType"],
        one_of: &[],
        optional: &[
            "authRequired",
            "caCert",
            "channelBufferSize",
            "clientCert",
            "clientConnectionKeepAliveInterval",
            "clientConnectionTopicMetadataRefreshInterval",
            "clientID",
            "clientKey",
            "compression",
            "consumeRetryEnabled",
            "consumeRetryInterval",
            "consumerFetchDefault",
            "consumerFetchMin",
            "consumerGroup",
            "consumerGroupRebalanceStrategy",
            "consumerID",
            "dialTimeout",
            "disableTls",
            "escapeHeaders",
            "excludeHeaderMetaRegex",
            "heartbeatInterval",
            "initialOffset",
            "maxMessageBytes",
            "metadataTimeout",
            "oidcClientID",
            "oidcClientSecret",
            "oidcExtensions",
            "oidcScopes",
            "oidcTokenEndpoint",
            "producerRequiredAcks",
            "producerRetryMax",
            "readTimeout",
            "saslMechanism",
            "saslPassword",
            "saslUsername",
            "schemaCachingEnabled",
            "schemaLatestVersionCacheTTL",
            "schemaRegistryAPIKey",
            "schemaRegistryAPISecret",
            "schemaRegistryURL",
            "sessionTimeout",
            "skipVerify",
            "useAvroJson",
            "version",
            "writeTimeout",
        ],
        words: &[
            (
                "authType",
                &[
                    "password",
                    "oidc",
                    "oidc_private_key_jwt",
                    "mtls",
                    "certificate",
                    "awsiam",
                    "none",
                ],
            ),
            ("saslMechanism", &["PLAIN", "SHA-256", "SHA-512"]),
            ("initialOffset", &["newest", "oldest"]),
            ("disableTls", BOOL),
            ("skipVerify", BOOL),
            ("consumeRetryEnabled", BOOL),
            (
                "consumerGroupRebalanceStrategy",
                &["range", "sticky", "roundrobin"],
            ),
            ("compression", &["none", "gzip", "snappy", "lz4", "zstd"]),
        ],
        secret: &[
            "saslPassword",
            "clientKey",
            "oidcClientSecret",
            "schemaRegistryAPISecret",
        ],
        prefixes: &[
            "backOff",
            "oidcClientAssertion",
            "aws",
            "accessKey",
            "secretKey",
        ],
    },
    Type {
        name: "state.postgresql",
        versions: &["v1", "v2"],
        required: &[],
        one_of: &[&["connectionString", "url", "host", "hostaddr"]],
        optional: &[
            "actorStateStore",
            "awsAccessKey",
            "awsRegion",
            "awsSecretKey",
            "azureClientId",
            "azureClientSecret",
            "azureTenantId",
            "cleanupInterval",
            "connectionMaxIdleTime",
            "database",
            "keyPrefix",
            "maxConns",
            "metadataTableName",
            "password",
            "port",
            "queryExecMode",
            "sslRootCert",
            "tableName",
            "tablePrefix",
            "timeout",
            "useAWSIAM",
            "useAzureAD",
            "user",
        ],
        words: &[
            ("actorStateStore", BOOL),
            (
                "queryExecMode",
                &[
                    "cache_statement",
                    "cache_describe",
                    "describe_exec",
                    "exec",
                    "simple_protocol",
                ],
            ),
        ],
        secret: &[
            "connectionString",
            "url",
            "password",
            "azureClientSecret",
            "awsSecretKey",
        ],
        prefixes: &[],
    },
    Type {
        name: "secretstores.kubernetes",
        versions: &["v1"],
        required: &[],
        one_of: &[],
        optional: &["defaultNamespace", "kubeconfigPath"],
        words: &[],
        secret: &[],
        prefixes: &[],
    },
];

impl Type {
    /// Every name that the type takes, but for those with a prefix.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let runtime = if self.name.starts_with("pubsub.") {
            PUBSUB
        } else {
            &[]
        };
        let one_of = self.one_of.iter().copied().flatten();
        [self.required, self.optional, runtime]
            .into_iter()
            .flatten()
            .chain(one_of)
            .copied()
    }

    /// Whether the type takes a name. Dapr's names do not depend on case.
    pub(super) fn takes(&self, name: &str) -> bool {
        let named = self.names().any(|known| known.eq_ignore_ascii_case(name));
        named
            || self.prefixes.iter().any(|prefix| {
                name.get(..prefix.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
    }
}

/// The categories of component types that Dapr knows.
pub(super) const CATEGORIES: &[&str] = &[
    "bindings",
    "configuration",
    "conversation",
    "crypto",
    "lock",
    "middleware",
    "pubsub",
    "secretstores",
    "state",
    "workflowBackend",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_agree_with_themselves() {
        for of in TYPES {
            let names: Vec<&str> = of.names().collect();
            let mut unique = names.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(names.len(), unique.len(), "{}", of.name);
            for (name, _) in of.words {
                assert!(names.contains(name), "{} {name}", of.name);
            }
            for name in of.secret {
                assert!(names.contains(name), "{} {name}", of.name);
            }
        }
    }
}
