//! Scripted servers for tests.
