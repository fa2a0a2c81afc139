//! A registry that takes bearer tokens, and stable cargo: by themselves, so that what the registry does is known; then with the
//! gateway between them.

#![cfg(unix)]

mod direct;
mod everyday;
mod front;
mod fronted;
mod project;
#[path = "../../../gateway/tests/gateway/common/round_robin.rs"]
mod round_robin;
mod sealed;
mod staged;
