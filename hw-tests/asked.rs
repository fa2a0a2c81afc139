//! A person who is enrolled at a registry that may want a challenge in every mutation token.

use std::fs;

use yk_cargo::enrollment::{Enrollments, Registry};

use crate::asking_registry::{AskingRegistry, Challenges};
use crate::world::{NAME, Outcome, Reads, Run, World};

/// A person enrolled at a registry that asks.
pub(crate) struct Asked {
    pub(crate) world: World,
    pub(crate) registry: AskingRegistry,
}

impl Asked {
    pub(crate) fn new(reads: Reads, challenges: Challenges) -> Self {
        Self::at(AskingRegistry::start(reads, challenges))
    }

    pub(crate) fn at(registry: AskingRegistry) -> Self {
        Self::with(World::new(), registry)
    }

    /// The same, for this person.
    pub(crate) fn in_world(world: World, challenges: Challenges) -> Self {
        Self::with(world, AskingRegistry::start(Reads::AuthRequired, challenges))
    }

    fn with(world: World, registry: AskingRegistry) -> Self {
        let asked = Self { world, registry };
        let config = format!("[registries.{NAME}]\nindex = \"{}\"\n", asked.registry.index_url());
        asked.world.write("home/config.toml", &config);
        asked.enroll().says(&["signed a read token and checked it"]);
        let keys = asked.enrolled().cards.into_iter().flat_map(|card| card.keys);
        asked.registry.state().keys.extend(keys.map(|key| key.public));
        asked.world.card.clear_trace();
        asked
    }

    pub(crate) fn enroll(&self) -> Outcome {
        self.world.yk_cargo(["enroll", NAME, "--yes", "--configure"]).succeeds()
    }

    pub(crate) fn refresh(&self) -> Outcome {
        self.world.yk_cargo(["enroll", NAME, "--refresh", "--yes"]).succeeds()
    }

    pub(crate) fn enrolled(&self) -> Registry {
        let enrollments = Enrollments::load(&self.world.cargo_home()).unwrap();
        enrollments.registry(&self.registry.index_url()).unwrap().clone()
    }

    pub(crate) fn yank(&self) -> Run {
        self.world.cargo(&self.world.path("work"), ["yank", "alpha@0.1.0", "--registry", NAME])
    }

    /// The registry's address is now somebody else's.
    pub(crate) fn moves_to(&self, address: std::net::SocketAddr) {
        let old = self.registry.index_url();
        let new = format!("sparse+http://{address}/index/");
        for file in ["home/config.toml", "home/yk-cargo/enrollments.toml"] {
            let text = fs::read_to_string(self.world.path(file)).unwrap();
            fs::write(self.world.path(file), text.replace(&old, &new)).unwrap();
        }
    }
}
