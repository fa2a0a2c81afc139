//! An upload, to be published or to be staged: it is received, unpacked once, and compared with what cargo says of it.

use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use asymmetric_token::Checksum;
use tempfile::NamedTempFile;

use super::body::{BodyError, RequestBody};
use super::{App, Failure};
use crate::background::soon;
use crate::causes::shortened;
use crate::changes::ChangeError;
use crate::keys::User;
use crate::metadata::{self, Sent};
use crate::store::StoreError;
use crate::upstream::Publication;

/// Receives an upload for a user, checks that it may come, and returns what a registry is told of it.
pub(super) async fn received(
    app: &Arc<App>,
    user: &User,
    body: &mut RequestBody,
    may_come: impl FnOnce(&str, &str, Checksum) -> Result<(), Failure> + Send + 'static,
) -> Result<Publication, Failure> {
    let store = app.store.clone();
    let files = soon(move || Ok::<_, StoreError>([store.upload()?, store.upload()?]));
    let files = files.await.map_err(ChangeError::Panicked)?;
    let [json, file] = files.map_err(|error| ChangeError::NothingChanged(error.into()))?;
    let json = body.json(json, app.max_crate).await?;
    let spooled = body.crate_file(file, app.max_crate).await?;
    let turn = app.unpacking.turn(user).await;
    let app = app.clone();
    let publication = soon(move || {
        let _turn = turn;
        let (file, length, checksum) = (spooled.file, spooled.length, spooled.checksum);
        // It is in memory no earlier than now, as what is unpacked is, and what is made of it can be many times as long.
        let sent = Sent::parse(&read(json)?, &app.rules.url)?;
        may_come(sent.name(), sent.version(), checksum)?;
        if !sent.unknown.is_empty() {
            tracing::info!(
                names = shortened(format!("{:?}", sent.unknown)),
                "unknown fields in the metadata were dropped"
            );
        }
        let packed = file.reopen().map_err(Failure::internal)?;
        let metadata = metadata::of_upload(packed, length, &sent, &app.rules.url)?;
        metadata.must_not_depend_on(|url| app.behind.have(url))?;
        Ok::<_, Failure>(Publication { metadata, file, length, checksum })
    });
    publication.await.map_err(Failure::internal)?
}

/// The whole of a file that was received, which goes with it.
fn read(mut received: NamedTempFile) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    received.rewind()?;
    received.read_to_end(&mut bytes)?;
    Ok(bytes)
}
