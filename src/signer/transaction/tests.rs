//! Transcripts of whole transactions.
