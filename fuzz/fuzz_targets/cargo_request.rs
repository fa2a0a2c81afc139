//! Any bytes as the line that cargo sends to its credential provider.
#![no_main]
#![allow(dead_code, reason = "yk-cargo uses the rest")]

/// The provider's reading of a request, without what answers it: that is built in a tenth of the time. It is a macro because
/// `cargo xtask floors` would look for it in this folder.
macro_rules! provider {
    ($judge:item) => {
        #[path = "../../src/provider"]
        mod provider {
            mod request;

            $judge
        }
    };
}

provider! {
    /// Where something is signed, it is what the line names, letter by letter.
    pub(crate) fn judge(line: &[u8]) {
        use asymmetric_token::Mutation;
        use cargo_credential::Action;

        let Ok(value) = request::json(line) else { return };
        let Ok(request) = request::read(&value) else { return };
        let Action::Get(operation) = &request.action else { return };
        let Ok(Some(mutation)) = request::mutation(operation) else { return };
        assert_eq!(value["operation"], mutation.kind());
        assert_eq!(value["name"], mutation.name().as_str());
        if let Some(version) = mutation.version() {
            assert_eq!(value["vers"], version.to_string());
        }
        if let Mutation::Publish { checksum, .. } = mutation {
            assert_eq!(value["cksum"], checksum.to_string());
        }
        assert_eq!(value["registry"]["index-url"], request.registry.index_url);
    }
}

libfuzzer_sys::fuzz_target!(|line: &[u8]| provider::judge(line));
