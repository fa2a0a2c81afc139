//! A registry that takes bearer tokens, and stable cargo: by themselves, so that what the registry does is known; then with the
//! gateway between them.

#![cfg(unix)]

mod direct;
mod everyday;
mod front;
mod fronted;
mod project;
mod sealed;
