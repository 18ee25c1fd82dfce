//! The requests that this client makes, and the newest version of each that it
//! knows how to fill in.

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
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};

use super::sasl;

/// A request with its limits.
pub(super) trait Api: Message + Encodable + HeaderVersion + Sync {
    /// The number in the protocol guide.
    const KEY: i16;
    /// What answers it.
    type Response: Decodable + HeaderVersion;
    /// The newest version that the code fills in rightly.
    const NEWEST: i16;
    /// The name in the protocol guide.
    const NAME: &'static str;
}

macro_rules! apis {
    ($($key:literal $request:ty => $response:ty, $newest:literal, $name:expr;)*) => {
        $(impl Api for $request {
            const KEY: i16 = $key;
            type Response = $response;
            const NEWEST: i16 = $newest;
            const NAME: &'static str = $name;
        })*
    };
}

// Where a version is held back: later ones name topics by identifiers (Fetch,
// Produce, DeleteTopics), or ask for several things at once (FindCoordinator,
// OffsetFetch).
apis! {
    18 ApiVersionsRequest => ApiVersionsResponse, 3, "ApiVersions";
    37 CreatePartitionsRequest => CreatePartitionsResponse, 3, "CreatePartitions";
    19 CreateTopicsRequest => CreateTopicsResponse, 7, "CreateTopics";
    20 DeleteTopicsRequest => DeleteTopicsResponse, 5, "DeleteTopics";
    32 DescribeConfigsRequest => DescribeConfigsResponse, 4, "DescribeConfigs";
    15 DescribeGroupsRequest => DescribeGroupsResponse, 5, "DescribeGroups";
    1 FetchRequest => FetchResponse, 12, "Fetch";
    10 FindCoordinatorRequest => FindCoordinatorResponse, 3, "FindCoordinator";
    16 ListGroupsRequest => ListGroupsResponse, 4, "ListGroups";
    2 ListOffsetsRequest => ListOffsetsResponse, 6, "ListOffsets";
    3 MetadataRequest => MetadataResponse, 12, "Metadata";
    9 OffsetFetchRequest => OffsetFetchResponse, 7, "OffsetFetch";
    0 ProduceRequest => ProduceResponse, 11, "Produce";
    36 SaslAuthenticateRequest => SaslAuthenticateResponse, 2, sasl::AUTHENTICATE;
    17 SaslHandshakeRequest => SaslHandshakeResponse, 1, sasl::HANDSHAKE;
}
