//! Whether answers can be told to be those of the requests that wait, where a protocol answers in the order of the
//! requests and bytes are missing.

/// What can be told of requests that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// They will be answered next.
    Fine,
    /// They were answered in bytes that are missing, as the client never sent a request before it had the last answer.
    AnsweredUnseen,
    /// Some may have been.
    Unsure,
}

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

    /// Another request is sent, while so many wait: what of them?
    pub(super) fn another(&mut self, waiting: usize) -> Waiting {
        match (waiting > 0 && self.ragged, self.pipelines) {
            (false, _) => Waiting::Fine,
            (true, false) => Waiting::AnsweredUnseen,
            (true, true) => {
                self.rounds = 2;
                Waiting::Unsure
            }
        }
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
        assert!(!turns.begins(0) && !turns.server_lost(1));
        assert_eq!(turns.another(1), Waiting::AnsweredUnseen);
        turns.answered();
        assert!(turns.another(1) == Waiting::Fine && !turns.begins(1));
        assert!(turns.server_lost(2) && turns.another(2) == Waiting::Unsure && turns.begins(2));
    }
}
