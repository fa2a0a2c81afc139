//! A registry that takes bearer tokens, and stable cargo, by themselves: so what the registry does is known.

#![cfg(unix)]

mod direct;
mod everyday;
mod project;
