//! Questions to the mock card's trace.

use mock_card::MockCard;
use mock_card::trace::Entry;

/// What happened to the card since the trace was last cleared.
pub(crate) struct Seen(Vec<Entry>);

impl Seen {
    pub(crate) fn on(card: &MockCard) -> Self {
        Self(card.trace())
    }

    /// Times a PIN was sent.
    pub(crate) fn pins(&self) -> usize {
        self.apdus().filter(|entry| entry.ins.as_deref() == Some("VERIFY") && entry.redacted > 0).count()
    }

    pub(crate) fn touches(&self) -> usize {
        self.0.iter().filter(|entry| entry.call == "touch").count()
    }

    /// Signatures made with the key in this slot.
    pub(crate) fn signatures(&self, slot: &str) -> usize {
        self.apdus()
            .filter(|entry| entry.ins.as_deref() == Some("GENERAL AUTHENTICATE"))
            .filter(|entry| entry.status_word() == Some(0x9000))
            .filter(|entry| entry.apdu.as_deref().and_then(|apdu| apdu.get(6..8)) == Some(slot))
            .count()
    }

    pub(crate) fn all_signatures(&self) -> usize {
        (0x82..=0x95).map(|slot| self.signatures(&format!("{slot:02X}"))).sum()
    }

    /// The instructions sent to the card, in order.
    pub(crate) fn instructions(&self) -> Vec<&str> {
        self.apdus().filter_map(|entry| entry.ins.as_deref()).collect()
    }

    /// Whether a key or an object was written.
    pub(crate) fn changed_anything(&self) -> bool {
        let changes = |name: &&str| name.starts_with("GENERATE ASYMMETRIC") || name.starts_with("PUT DATA");
        self.instructions().iter().any(changes)
    }

    /// Processes that spoke to the daemon: each of ours has one context.
    pub(crate) fn contexts(&self) -> usize {
        self.0.iter().filter(|entry| entry.call == "establishcontext").count()
    }

    pub(crate) fn transactions(&self) -> usize {
        self.0.iter().filter(|entry| entry.call == "begintransaction" && entry.rv == 0).count()
    }

    /// Whether this was called, by its PC/SC name without SCard.
    pub(crate) fn called(&self, call: &str) -> bool {
        self.0.iter().any(|entry| entry.call == call)
    }

    /// Whether nothing at all was asked of the daemon.
    pub(crate) fn nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Every connection was shared, and every end left the card as it was.
    #[track_caller]
    pub(crate) fn assert_well_mannered(&self) {
        for entry in &self.0 {
            assert!(!entry.implicit, "left without a word: {entry:#?}");
            if matches!(entry.call, "disconnect" | "endtransaction" | "reconnect") {
                assert_eq!(entry.disposition, Some(0), "{entry:#?}");
            }
            if entry.call == "connect" {
                assert_eq!(entry.share, Some(2), "{entry:#?}");
            }
        }
        let count = |call| self.0.iter().filter(|entry| entry.call == call && entry.rv == 0).count();
        assert_eq!(count("connect"), count("disconnect"));
        assert_eq!(count("begintransaction"), count("endtransaction"));
    }

    fn apdus(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(|entry| entry.is_apdu())
    }
}
