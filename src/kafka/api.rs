//! The requests that this client makes, and the versions of each that it knows
//! how to fill in.

use kafka_protocol::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, FetchRequest, FindCoordinatorRequest,
    ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest, ProduceRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, CreatePartitionsResponse, CreateTopicsResponse, DeleteTopicsResponse,
    DescribeConfigsResponse, DescribeGroupsResponse, FetchResponse, FindCoordinatorResponse,
    ListGroupsResponse, ListOffsetsResponse, MetadataResponse, OffsetFetchResponse,
    ProduceResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, VersionRange};

use super::sasl;

/// A request with its limits.
pub(super) trait Api: Message + Encodable + HeaderVersion + Sync {
    /// The number in the protocol guide.
    const KEY: i16;
    /// What answers it.
    type Response: Decodable + HeaderVersion;
    /// The versions that the code fills in rightly.
    const KNOWN: VersionRange;
    /// The name in the protocol guide.
    const NAME: &'static str;
}

macro_rules! apis {
    ($($key:literal $request:ty => $response:ty, $oldest:literal to $newest:literal, $name:expr;)*) => {
        $(impl Api for $request {
            const KEY: i16 = $key;
            type Response = $response;
            const KNOWN: VersionRange = VersionRange { min: $oldest, max: $newest };
            const NAME: &'static str = $name;
        })*
    };
}

// What is older than Kafka 0.11 is left out. Where a new version is held back,
// later ones name topics by identifiers (Fetch, Produce, DeleteTopics), or ask
// for several things at once (FindCoordinator, OffsetFetch).
apis! {
    18 ApiVersionsRequest => ApiVersionsResponse, 0 to 3, "ApiVersions";
    37 CreatePartitionsRequest => CreatePartitionsResponse, 0 to 3, "CreatePartitions";
    19 CreateTopicsRequest => CreateTopicsResponse, 2 to 7, "CreateTopics";
    20 DeleteTopicsRequest => DeleteTopicsResponse, 1 to 5, "DeleteTopics";
    32 DescribeConfigsRequest => DescribeConfigsResponse, 1 to 4, "DescribeConfigs";
    15 DescribeGroupsRequest => DescribeGroupsResponse, 0 to 5, "DescribeGroups";
    1 FetchRequest => FetchResponse, 4 to 12, "Fetch";
    10 FindCoordinatorRequest => FindCoordinatorResponse, 0 to 3, "FindCoordinator";
    16 ListGroupsRequest => ListGroupsResponse, 0 to 4, "ListGroups";
    2 ListOffsetsRequest => ListOffsetsResponse, 1 to 6, "ListOffsets";
    3 MetadataRequest => MetadataResponse, 4 to 12, "Metadata";
    9 OffsetFetchRequest => OffsetFetchResponse, 2 to 7, "OffsetFetch";
    0 ProduceRequest => ProduceResponse, 3 to 11, "Produce";
    36 SaslAuthenticateRequest => SaslAuthenticateResponse, 0 to 2, sasl::AUTHENTICATE;
    17 SaslHandshakeRequest => SaslHandshakeResponse, 1 to 1, sasl::HANDSHAKE;
}
