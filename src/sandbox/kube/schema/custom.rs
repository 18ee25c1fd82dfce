//! The types of custom resources, from their OpenAPI schemas.
