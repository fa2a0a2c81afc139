//! Whether the witnesses cosign, and how far behind they are.

use futures_util::future::join_all;

use super::{Finding, bad, good};
use crate::causes::{escaped, with_causes};
use crate::config::{Config, WitnessConfig};
use crate::cosigning::{Witness, WitnessError};
use crate::http_client::AuthoritiesError;
use crate::store::{Store, StoreError};
use transparency_log::SignedCheckpoint;

/// What each of them says of the newest checkpoint that is stored.
pub(super) async fn asked(config: &Config, store: &Store) -> Result<Vec<Finding>, StoreError> {
    if config.witness.is_empty() {
        return Ok(Vec::new());
    }
    let Some(newest) = store.newest_checkpoint()? else {
        return Ok(vec![good("the log has no checkpoint yet that a witness could cosign")]);
    };
    Ok(join_all(config.witness.iter().map(|witness| of_one(witness, &newest))).await)
}

async fn of_one(config: &WitnessConfig, newest: &SignedCheckpoint) -> Finding {
    let (name, size) = (escaped(&config.name), newest.unverified().head().size);
    let looked = match Witness::new(config) {
        Ok(witness) => witness.looked_at(newest).await,
        Err(error) => return no_authorities(&error),
    };
    match looked {
        Ok(cosigned) if cosigned == size => {
            good(format!("the witness {name} cosigns the newest checkpoint, of {size} entries"))
        }
        Ok(cosigned) if cosigned < size => bad(
            format!(
                "the witness {name} is {} entries behind: it has cosigned {cosigned} of {size}",
                size - cosigned
            ),
            "the gateway asks it for each new checkpoint, and again after a failure: check that it runs, and see its log",
        ),
        Ok(cosigned) => bad(
            format!("the witness {name} has cosigned {cosigned} entries, and the log has {size}"),
            "the log has lost its end, or somebody else signs with its key: see \"After a restore\" in docs/gateway.md",
        ),
        Err(WitnessError::Refused(status)) => bad(
            format!("the witness {name} refuses the newest checkpoint ({status})"),
            format!(
                "404: whoever runs it has to add the log {}, with the key that /log/key answers; 403: it knows another key; 422: it has \
                 cosigned another history",
                newest.unverified().origin()
            ),
        ),
        Err(error) => bad(
            format!("the witness {name} does not cosign: {}", escaped(&with_causes(&error))),
            "check that it runs and that `url` and `vkey` in [[witness]] are its own",
        ),
    }
}

fn no_authorities(error: &AuthoritiesError) -> Finding {
    bad(with_causes(error), "a witness at https:// is asked with the system's certificate authorities")
}
