//! Whether answers can be told to be those of the requests that wait, where a protocol answers in the order of the
//! requests and bytes are missing.

/// Doubt about the order of answers on a connection.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Rounds of one request and its answer until the order is trusted again.
    rounds: u8,
    /// Requests were sent before the answers of earlier ones: where answers are missing, it cannot be told how many.
    pipelines: bool,
    /// Answers are missing.
    ragged: bool,
}

impl Turns {
    /// Bytes of the client are missing: they may hold requests, whose answers will come.
    pub(super) fn client_lost(&mut self) {
        self.rounds = 2;
    }

    /// Bytes of the server are missing, while so many requests wait. True: it cannot be told which of them were answered.
    pub(super) fn server_lost(&mut self, waiting: usize) -> bool {
        self.ragged = true;
        if waiting > 1 {
            self.rounds = 2;
        }
        waiting > 1
    }

    /// An answer came, and nothing waits for one.
    pub(super) fn stray(&mut self) {
        if self.rounds > 0 {
            self.rounds = 2;
        }
    }

    /// An answer ended where it should.
    pub(super) fn answered(&mut self) {
        self.ragged = false;
    }

    /// Another request is sent. True: those that wait were answered in the bytes that are missing, as the client never
    /// sent one before it had the answer of the last.
    pub(super) fn answered_unseen(&self) -> bool {
        self.ragged && !self.pipelines
    }

    /// A request begins, while so many wait. True: its answer is taken by order, and may be another's.
    pub(super) fn begins(&mut self, waiting: usize) -> bool {
        if waiting > 0 {
            self.pipelines = true;
        } else {
            self.rounds = self.rounds.saturating_sub(1);
        }
        self.rounds > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_trusted_again_after_a_round_alone() {
        let mut turns = Turns::default();
        assert!(!turns.begins(0));
        turns.client_lost();
        assert!(turns.begins(1) && turns.begins(0) && !turns.begins(0));
        turns.client_lost();
        assert!(turns.begins(0));
        turns.stray();
        assert!(turns.begins(0) && !turns.begins(0));
    }

    #[test]
    fn a_client_that_waits_for_each_answer_has_had_them() {
        let mut turns = Turns::default();
        assert!(!turns.begins(0) && !turns.server_lost(1) && turns.answered_unseen());
        turns.answered();
        assert!(!turns.answered_unseen() && !turns.begins(1));
        assert!(turns.server_lost(2) && !turns.answered_unseen() && turns.begins(2));
    }
}
