//! What keys ask of a person: how often for the PIN, and for a touch.

use std::fmt;

use crate::enrollment::{Card, Key, SealingKey};
use crate::piv::{PinPolicy, PinState, TouchPolicy};

/// How often the PIN and a touch are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) pins: u32,
    pub(crate) touches: u32,
}

impl Asks {
    /// For `cargo publish`, which asks the provider for a read token, then for one to publish with. `None` if a key is missing.
    pub(crate) fn next_publish(card: &Card, pin: PinState) -> Option<Self> {
        let keys = [card.key(false)?, card.key(true)?];
        let [read, publish] = keys.map(|key| key.touch);
        let touches = match (read, publish) {
            // A touch that is cached counts for 15 seconds; cargo asks twice within one.
            (TouchPolicy::Cached, TouchPolicy::Cached) if keys[0].slot == keys[1].slot => 1,
            (read, publish) => {
                u32::from(read != TouchPolicy::Never) + u32::from(publish != TouchPolicy::Never)
            }
        };
        Some(Self { pins: pins(keys.map(|key| key.pin), pin), touches })
    }

    /// For a change at a registry whose token is sealed.
    pub(crate) fn opening(key: &SealingKey, pin: PinState) -> Self {
        Self { pins: pins([key.pin], pin), touches: u32::from(key.touch != TouchPolicy::Never) }
    }

    /// For a proof, and for opening the token right after that, with keys of the same card.
    pub(crate) fn proving(proof: &Key, token: &SealingKey, pin: PinState) -> Self {
        let touches = match (proof.touch, token.touch) {
            // The card asks for one within 15 seconds, whichever of the two keys it was for.
            (TouchPolicy::Cached, TouchPolicy::Cached) => 1,
            (proof, token) => u32::from(proof != TouchPolicy::Never) + u32::from(token != TouchPolicy::Never),
        };
        Self { pins: pins([proof.pin, token.pin], pin), touches }
    }
}

/// How often keys that are used one after the other ask for the PIN.
fn pins<const N: usize>(policies: [PinPolicy; N], pin: PinState) -> u32 {
    let mut verified = pin == PinState::Verified;
    let mut pins = 0;
    for policy in policies {
        if !(policy == PinPolicy::Never || policy == PinPolicy::Once && verified) {
            pins += 1;
            verified = true;
        }
    }
    pins
}

impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pins = match self.pins {
            0 => None,
            1 => Some("the PIN".to_owned()),
            pins => Some(format!("the PIN {pins} times")),
        };
        let touches = match self.touches {
            0 => None,
            1 => Some("a touch".to_owned()),
            touches => Some(format!("{touches} touches")),
        };
        match (pins, touches) {
            (None, None) => f.write_str("nothing"),
            (Some(one), None) | (None, Some(one)) => f.write_str(&one),
            (Some(pins), Some(touches)) => write!(f, "{pins} and {touches}"),
        }
    }
}
