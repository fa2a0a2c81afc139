//! What Kellnr calls of cargo's library, and nothing behind it.
//!
//! Kellnr builds documentation in a process of its own (its hidden command `doc-build`), and there alone it needs cargo's
//! library: with gitoxide, libgit2 and libcurl, 150 of the 680 things that Kellnr is built from. Its documentation is turned
//! off here. That nothing gets past [`GlobalContext::default`], where that process begins, is in the types: most have no values.

use std::convert::Infallible;
use std::fmt;

/// The answer to everything.
#[derive(Debug)]
pub struct LeftOut;

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this Kellnr was built without the library of cargo: it cannot build documentation")
    }
}

type Outcome<T> = Result<T, LeftOut>;

/// Without values.
#[derive(Debug)]
pub struct GlobalContext(Infallible);

#[expect(clippy::should_implement_trait, reason = "cargo's own function has this name")]
impl GlobalContext {
    /// # Errors
    /// Always.
    pub fn default() -> Outcome<Self> {
        Err(LeftOut)
    }

    /// Cannot be called.
    #[expect(clippy::too_many_arguments, reason = "cargo's own function has them")]
    pub fn configure(
        &mut self,
        _verbose: u32,
        _quiet: bool,
        _color: Option<&str>,
        _frozen: bool,
        _locked: bool,
        _offline: bool,
        _target_dir: &Option<std::path::PathBuf>,
        _unstable_flags: &[String],
        _cli_config: &[String],
    ) -> Outcome<()> {
        match self.0 {}
    }
}

/// Packages and what is said about them.
pub mod core {
    use std::convert::Infallible;
    use std::marker::PhantomData;
    use std::path::Path;

    use crate::{GlobalContext, Outcome};

    /// Without values.
    #[derive(Debug)]
    pub struct Workspace<'a>(Infallible, PhantomData<&'a GlobalContext>);

    impl<'a> Workspace<'a> {
        /// Cannot be called.
        pub fn new(_manifest: &Path, context: &'a GlobalContext) -> Outcome<Self> {
            match context.0 {}
        }

        /// Cannot be called.
        pub fn current(&self) -> Outcome<&Package> {
            match self.0 {}
        }
    }

    /// Without values.
    #[derive(Debug)]
    pub struct Package(Infallible);

    impl Package {
        /// Cannot be called.
        pub fn manifest(&self) -> &Manifest {
            match self.0 {}
        }
    }

    /// Without values.
    #[derive(Debug)]
    pub struct Manifest(Infallible);

    impl Manifest {
        /// Cannot be called.
        pub fn custom_metadata(&self) -> Option<&Metadata> {
            match self.0 {}
        }
    }

    /// Without values; `toml::Value` in cargo.
    #[derive(Debug)]
    pub struct Metadata(Infallible);

    impl Metadata {
        /// Cannot be called.
        pub fn get(&self, _key: &str) -> Option<&Self> {
            match self.0 {}
        }

        /// Cannot be called.
        pub fn as_bool(&self) -> Option<bool> {
            match self.0 {}
        }

        /// Cannot be called.
        pub fn as_str(&self) -> Option<&str> {
            match self.0 {}
        }

        /// Cannot be called.
        pub fn as_array(&self) -> Option<&Vec<Self>> {
            match self.0 {}
        }
    }

    /// What is to be built.
    pub mod compiler {
        /// Of several things the one that Kellnr asks for.
        #[derive(Debug)]
        pub enum UserIntent {
            /// `cargo doc`.
            Doc {
                /// Those of the dependencies too.
                deps: bool,
                /// Instead of HTML.
                json: bool,
            },
        }
    }

    /// With which features.
    pub mod resolver {
        use std::convert::Infallible;

        use crate::{LeftOut, Outcome};

        /// Without values.
        #[derive(Debug)]
        pub struct CliFeatures(Infallible);

        impl CliFeatures {
            /// # Errors
            /// Always.
            pub fn from_command_line(_features: &[String], _all: bool, _default: bool) -> Outcome<Self> {
                Err(LeftOut)
            }
        }
    }
}

/// Commands.
pub mod ops {
    use std::convert::Infallible;

    use crate::core::Workspace;
    use crate::core::compiler::UserIntent;
    use crate::core::resolver::CliFeatures;
    use crate::{GlobalContext, LeftOut, Outcome};

    /// Without values.
    #[derive(Debug)]
    pub struct CompileOptions {
        /// Which features.
        pub cli_features: CliFeatures,
        /// Kellnr leaves the rest to [`CompileOptions::new`].
        pub rest: Infallible,
    }

    impl CompileOptions {
        /// # Errors
        /// Always.
        pub fn new(_context: &GlobalContext, _intent: UserIntent) -> Outcome<Self> {
            Err(LeftOut)
        }
    }

    /// Without values.
    #[derive(Debug)]
    pub struct DocOptions {
        /// In a browser.
        pub open_result: bool,
        /// What is built.
        pub compile_opts: CompileOptions,
        /// HTML or JSON.
        pub output_format: OutputFormat,
    }

    /// Of two the one that Kellnr asks for.
    #[derive(Debug)]
    pub enum OutputFormat {
        /// Pages.
        Html,
    }

    /// Cannot be called.
    pub fn doc(_workspace: &Workspace<'_>, options: &DocOptions) -> Outcome<()> {
        match options.compile_opts.rest {}
    }
}
