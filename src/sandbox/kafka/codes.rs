//! Error codes and API keys. Specified in "Kafka protocol guide", sections
//! "Error codes" and "API keys".

/// What a reply says about success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Code {
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    LeaderNotAvailable = 5,
    NotLeaderOrFollower = 6,
    MessageTooLarge = 10,
    CoordinatorNotAvailable = 15,
    InvalidTopic = 17,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    TopicAuthorizationFailed = 29,
    GroupAuthorizationFailed = 30,
    ClusterAuthorizationFailed = 31,
    UnsupportedSaslMechanism = 33,
    IllegalSaslState = 34,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    OutOfOrderSequence = 45,
    InvalidProducerEpoch = 47,
    KafkaStorage = 56,
    SaslAuthenticationFailed = 58,
    UnknownProducerId = 59,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    MemberIdRequired = 79,
    FencedInstanceId = 82,
    InvalidRecord = 87,
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }
}

/// The requests that the broker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Api {
    Produce,
    Fetch,
    ListOffsets,
    Metadata,
    OffsetCommit,
    OffsetFetch,
    FindCoordinator,
    JoinGroup,
    Heartbeat,
    LeaveGroup,
    SyncGroup,
    DescribeGroups,
    ListGroups,
    SaslHandshake,
    ApiVersions,
    CreateTopics,
    DeleteTopics,
    InitProducerId,
    DescribeAcls,
    CreateAcls,
    DeleteAcls,
    DescribeConfigs,
    AlterConfigs,
    SaslAuthenticate,
    CreatePartitions,
    DeleteGroups,
    IncrementalAlterConfigs,
}

/// An API with its key and the versions served: all before the "flexible"
/// ones, and none below what Kafka 4 still allows clients to use.
pub const SERVED: [(Api, i16, i16, i16); 27] = [
    (Api::Produce, 0, 3, 8),
    (Api::Fetch, 1, 4, 11),
    (Api::ListOffsets, 2, 1, 5),
    (Api::Metadata, 3, 0, 8),
    (Api::OffsetCommit, 8, 2, 7),
    (Api::OffsetFetch, 9, 1, 5),
    (Api::FindCoordinator, 10, 0, 2),
    (Api::JoinGroup, 11, 0, 5),
    (Api::Heartbeat, 12, 0, 3),
    (Api::LeaveGroup, 13, 0, 3),
    (Api::SyncGroup, 14, 0, 3),
    (Api::DescribeGroups, 15, 0, 4),
    (Api::ListGroups, 16, 0, 2),
    (Api::SaslHandshake, 17, 0, 1),
    (Api::ApiVersions, 18, 0, 2),
    (Api::CreateTopics, 19, 2, 4),
    (Api::DeleteTopics, 20, 1, 3),
    (Api::InitProducerId, 22, 0, 1),
    (Api::DescribeAcls, 29, 1, 1),
    (Api::CreateAcls, 30, 1, 1),
    (Api::DeleteAcls, 31, 1, 1),
    (Api::DescribeConfigs, 32, 1, 3),
    (Api::AlterConfigs, 33, 0, 1),
    (Api::SaslAuthenticate, 36, 0, 1),
    (Api::CreatePartitions, 37, 0, 1),
    (Api::DeleteGroups, 42, 0, 1),
    (Api::IncrementalAlterConfigs, 44, 0, 0),
];

impl Api {
    /// The API with this key, and whether this version of it is served.
    pub fn find(key: i16, version: i16) -> Option<(Self, bool)> {
        SERVED
            .iter()
            .find(|served| served.1 == key)
            .map(|(api, _, min, max)| (*api, (*min..=*max).contains(&version)))
    }

    /// Whether it may be asked before authentication.
    pub fn is_open(self) -> bool {
        matches!(
            self,
            Self::ApiVersions | Self::SaslHandshake | Self::SaslAuthenticate
        )
    }
}
