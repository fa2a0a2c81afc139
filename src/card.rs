//! The card in hand: which one it is, what it says of itself, and the roads to a key that is used and a key that is made.

pub(crate) mod access;
pub(crate) mod announcement;
pub(crate) mod asks;
pub(crate) mod attested;
pub(crate) mod choose;
pub(crate) mod enrolled_keys;
pub(crate) mod find;
pub(crate) mod found_keys;
mod identity;
pub(crate) mod key_making;
pub(crate) mod key_use;
pub(crate) mod known;
pub(crate) mod label;
mod management;
pub(crate) mod management_key;
pub(crate) mod pin_source;
pub(crate) mod plugged_in;
pub(crate) mod survey;
pub(crate) mod touch_notice;
pub(crate) mod touch_program;
pub(crate) mod vacancy;
