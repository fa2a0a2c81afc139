//! The witnesses of the audit log: each new checkpoint is sent to them, and what they sign is kept and shown with it.
//!
//! Source: C2SP tlog-witness, "add-checkpoint". No request waits for a witness. A new checkpoint is shown once the witnesses that
//! are well have been asked, so that whoever wants their signatures finds them there; that takes three seconds at most. One that
//! has failed is asked beside that, until it answers again. What a witness says counts only if its key has signed it, for this tree.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, Uri};
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, sleep, timeout};
use transparency_log::{AddCheckpoint, ConsistencyProof, SignedCheckpoint, Verifier};

use crate::background::blocking;
use crate::causes::{escaped, with_causes};
use crate::config::WitnessConfig;
use crate::http_client::{AuthoritiesError, Client, NoAnswer};
use crate::store::{Checkpoints, Newest, Store, StoreError};

/// How long a witness may take for one checkpoint, however often it is asked for that.
const DEADLINE: Duration = Duration::from_secs(3);
/// The time after which one that has failed is asked again.
const AGAIN: Duration = Duration::from_secs(20);
/// The time between two looks for a new checkpoint.
const LOOK: Duration = Duration::from_millis(100);
/// How often a witness may say that it has another size.
const TRIES: usize = 3;
/// The longest answer, in bytes: room for a few signatures of a large kind.
const MOST_ANSWER: usize = 64 << 10;

/// Those that are asked.
#[derive(Debug)]
pub(crate) struct Witnesses {
    witnesses: Vec<Arc<Witness>>,
    keys: Vec<Verifier>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Witness {
    name: String,
    address: Uri,
    key: Verifier,
    client: Client,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The size that it is known to have cosigned.
    size: u64,
    /// The checkpoint that it was asked for last, in vain or not.
    asked: Option<(String, u64)>,
    /// Since when it has failed it is to be asked again.
    again: Option<Instant>,
    is_asked: bool,
}

/// What a witness answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Lines with its signature, not verified.
    Signed(String),
    /// It has cosigned another size last.
    Conflict(u64),
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    /// It cannot be reached.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It takes too long.
    #[error("no answer within {} seconds", DEADLINE.as_secs())]
    Late,
    /// It refuses.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// The answer cannot be read.
    #[error("its answer is longer than {MOST_ANSWER} bytes or broken, or not a size")]
    Answer,
    /// It changes its mind.
    #[error("it named two different sizes in a row")]
    Sizes,
    /// It has cosigned more than there is.
    #[error("it has cosigned {0} entries, more than this log has")]
    Ahead(u64),
    /// The signature is not its own, or of something else.
    #[error("its signature is for another checkpoint, or by another key")]
    Signature(#[source] transparency_log::Error),
    /// The checkpoint cannot be sent.
    #[error("the checkpoint cannot be sent")]
    Checkpoint(#[source] transparency_log::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Witnesses {
    /// # Errors
    /// [`AuthoritiesError`].
    pub(crate) fn new(witnesses: &[WitnessConfig]) -> Result<Self, AuthoritiesError> {
        let witnesses: Result<Vec<_>, _> =
            witnesses.iter().map(|witness| Witness::new(witness).map(Arc::new)).collect();
        let witnesses = witnesses?;
        Ok(Self { keys: witnesses.iter().map(|witness| witness.key.clone()).collect(), witnesses })
    }

    /// The newest checkpoint of which the witnesses were asked, with what they signed; without witnesses, the newest one. `None` as
    /// long as they are asked of the first.
    pub(crate) async fn shown(
        &self,
        store: &Arc<Store>,
        newest: Arc<Newest>,
    ) -> Result<Option<String>, StoreError> {
        if self.keys.is_empty() {
            return Ok(Some(newest.note.clone()));
        }
        let (store, keys) = (store.clone(), self.keys.clone());
        let shown = blocking(move || store.shown(&newest, &keys)).await;
        // A panic is reported by its hook.
        shown.unwrap_or(Ok(None))
    }

    /// Says that the newest checkpoint was shown already, before anybody asks witnesses here: none is shown later that is older.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn begin(&self, store: &Store, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        match checkpoints.known() {
            Some(newest) if !self.keys.is_empty() => store.show(newest.key.name().as_str(), newest.size),
            _ => Ok(()),
        }
    }

    /// Has each new checkpoint cosigned, as long as it is awaited.
    pub(crate) async fn keep_asking(self: Arc<Self>, store: Arc<Store>, checkpoints: Arc<Checkpoints>) {
        let (mut shown, mut is_told) = (None, false);
        while !self.witnesses.is_empty() {
            if let Some(newest) = checkpoints.known() {
                let (well, failing): (Vec<_>, Vec<_>) = self
                    .witnesses
                    .iter()
                    .filter(|witness| witness.is_due(&newest))
                    .cloned()
                    .partition(|witness| witness.is_well());
                for witness in failing {
                    tokio::spawn(witness.asked(store.clone(), newest.clone()));
                }
                join_all(well.into_iter().map(|witness| witness.asked(store.clone(), newest.clone()))).await;
                let checkpoint = place(&newest);
                if shown.as_ref() != Some(&checkpoint) {
                    let (to, (origin, size)) = (store.clone(), checkpoint.clone());
                    match blocking(move || to.show(&origin, size)).await {
                        Ok(Ok(())) => (shown, is_told) = (Some(checkpoint), false),
                        Ok(Err(error)) if !is_told => {
                            let error = escaped(&with_causes(&error));
                            tracing::warn!(error, "a checkpoint is not published yet; trying again");
                            is_told = true;
                        }
                        Ok(Err(_)) => {}
                        // Reported by its hook.
                        Err(_) => {}
                    }
                }
            }
            sleep(LOOK).await;
        }
    }
}

/// Origin and size.
fn place(newest: &Newest) -> (String, u64) {
    (newest.key.name().to_string(), newest.size)
}

impl Witness {
    pub(crate) fn new(config: &WitnessConfig) -> Result<Self, AuthoritiesError> {
        Ok(Self {
            name: config.name.clone(),
            address: config.address.clone(),
            key: config.vkey.clone(),
            client: Client::new(DEADLINE, None)?,
            state: Mutex::new(State { size: 0, asked: None, again: None, is_asked: false }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, newest: &Newest) -> bool {
        let state = self.state();
        let is_new = state.asked.as_ref() != Some(&place(newest));
        !state.is_asked && state.again.map_or(is_new, |again| again <= Instant::now())
    }

    fn is_well(&self) -> bool {
        self.state().again.is_none()
    }

    /// Asks it for a checkpoint, keeps what it signs, and notes how that went.
    async fn asked(self: Arc<Self>, store: Arc<Store>, newest: Arc<Newest>) {
        self.state().is_asked = true;
        let outcome =
            timeout(DEADLINE, self.cosignature(&store, &newest)).await.unwrap_or(Err(WitnessError::Late));
        let mut state = self.state();
        state.is_asked = false;
        state.asked = Some(place(&newest));
        let was_well = state.again.is_none();
        state.again = match &outcome {
            // Another gateway has asked for more meanwhile; or the log has lost its end, which `doctor` tells.
            Ok(()) | Err(WitnessError::Ahead(_)) => None,
            Err(_) => Some(Instant::now() + AGAIN),
        };
        drop(state);
        match outcome {
            Ok(()) if was_well => {}
            Ok(()) => tracing::warn!(witness = self.name, "the witness cosigns again"),
            Err(error) if was_well => {
                let error = escaped(&with_causes(&error));
                tracing::warn!(witness = self.name, error, "the witness does not cosign; asking again");
            }
            Err(_) => {}
        }
    }

    async fn cosignature(&self, store: &Arc<Store>, newest: &Newest) -> Result<(), WitnessError> {
        let mut signed: SignedCheckpoint = newest.note.parse().map_err(WitnessError::Checkpoint)?;
        let head = signed.unverified().head();
        let mut old = self.state().size.min(head.size);
        for _ in 0..TRIES {
            let reader = store.clone();
            let proof = blocking(move || reader.consistency(head, old)).await;
            // A panic is reported by its hook.
            let proof = proof.map_err(|_| WitnessError::Late)??;
            match self.add(old, proof, &signed).await? {
                Answer::Signed(lines) => {
                    signed.add_cosignature(&lines, &self.key).map_err(WitnessError::Signature)?;
                    let (origin, witness) = (newest.key.name().to_string(), self.key.to_string());
                    let (line, store) = (signed.signature_lines(&self.key), store.clone());
                    let kept =
                        blocking(move || store.keep_cosignature((&origin, head.size), &witness, &line));
                    kept.await.unwrap_or(Ok(()))?;
                    self.state().size = head.size;
                    return Ok(());
                }
                Answer::Conflict(latest) if latest > head.size => return Err(WitnessError::Ahead(latest)),
                Answer::Conflict(latest) => old = latest,
            }
        }
        Err(WitnessError::Sizes)
    }

    /// Sends it a checkpoint. What it answers is not verified.
    pub(crate) async fn add(
        &self,
        old: u64,
        proof: ConsistencyProof,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Answer, WitnessError> {
        let request = AddCheckpoint::new(old, proof, checkpoint.clone()).map_err(WitnessError::Checkpoint)?;
        let mut post = Request::new(Body::from(request.to_string()));
        *post.method_mut() = axum::http::Method::POST;
        *post.uri_mut() = self.address.clone();
        let answer = self.client.send(post).await?;
        let status = answer.status();
        if !matches!(status, StatusCode::OK | StatusCode::CONFLICT) {
            return Err(WitnessError::Refused(status));
        }
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await;
        let body = body.map_err(|_| WitnessError::Answer)?.to_bytes();
        let text = std::str::from_utf8(&body).map_err(|_| WitnessError::Answer)?;
        if status == StatusCode::OK {
            return Ok(Answer::Signed(text.to_owned()));
        }
        let size = text.strip_suffix('\n').and_then(|size| size.parse().ok());
        size.map(Answer::Conflict).ok_or(WitnessError::Refused(status))
    }

    /// The size that it has cosigned last of the log with this checkpoint, and whether it signs this one, which is then verified. It
    /// changes nothing unless it has never cosigned anything of the log.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub(crate) async fn looked_at(&self, checkpoint: &SignedCheckpoint) -> Result<u64, WitnessError> {
        let head = checkpoint.unverified().head();
        let asked = async {
            let mut old = 0;
            for _ in 0..TRIES {
                match self.add(old, ConsistencyProof::default(), checkpoint).await? {
                    Answer::Conflict(latest) if latest == head.size => old = latest,
                    Answer::Conflict(latest) => return Ok(latest),
                    Answer::Signed(lines) => {
                        let mut checkpoint = checkpoint.clone();
                        checkpoint.add_cosignature(&lines, &self.key).map_err(WitnessError::Signature)?;
                        return Ok(head.size);
                    }
                }
            }
            Err(WitnessError::Sizes)
        };
        timeout(DEADLINE, asked).await.unwrap_or(Err(WitnessError::Late))
    }
}
