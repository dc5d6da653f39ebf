//! The connection that all questions share, in a task of its own.

use directory::ldap::client::{Fault, Found, Search, SearchFault};
use tokio::sync::{mpsc, oneshot};

use super::connection::{Connection, Waiting};

/// Questions that wait to be sent; further ones wait where they are asked.
const QUEUE: usize = 64;

struct Question {
    search: Search,
    waiting: Waiting,
}

/// A handle on the connection; it ends when the last is dropped.
#[derive(Clone)]
pub(super) struct Link(mpsc::Sender<Question>);

impl Link {
    /// Gives the connection a task of its own.
    pub(super) fn serve(connection: Connection) -> Link {
        let (questions, asked) = mpsc::channel(QUEUE);
        tokio::spawn(serve(connection, asked));
        Link(questions)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    pub(super) async fn ask(&self, search: Search) -> Result<Found, SearchFault> {
        let closed = SearchFault::Connection(Fault::Closed);
        let (waiting, answer) = oneshot::channel();
        if self.0.send(Question { search, waiting }).await.is_err() {
            return Err(closed);
        }
        answer.await.unwrap_or(Err(closed))
    }
}

async fn serve(mut connection: Connection, mut asked: mpsc::Receiver<Question>) {
    loop {
        connection.gather();
        if connection.is_closed() {
            return;
        }
        let room = connection.has_room();
        let question = tokio::select! {
            () = connection.turn() => continue,
            question = asked.recv(), if room => question,
        };
        match question {
            Some(Question { search, waiting }) => connection.hand_in(&search, waiting),
            None => return connection.leave().await,
        }
    }
}
