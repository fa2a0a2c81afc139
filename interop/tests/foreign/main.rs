//! Other people's programs take the mock card for a YubiKey: unmodified, from their packages, each through what it
//! is made for. OpenSSL, which knows nothing of cards, judges the signatures and certificates.

#![cfg(unix)]

mod age_plugin_yubikey;
mod desk;
mod opensc;
mod openssh;
mod openssl;
mod pcsc_tools;
mod pyscard;
mod scdaemon;
mod ykcs11;
mod ykman;
mod yubico_piv_tool;
mod yubikit;
