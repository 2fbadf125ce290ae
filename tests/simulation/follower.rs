//! The gateway's follower: the real slices of the store, the real rows on their way, the cursor as it moves. Dies with the
//! gateway; PostgreSQL does not.

use ninewatch::replicate::{Prepared, Transfer, prepare};
use ninewatch::store::{Cursor, FollowerEnds, Store};

use super::postgres::{DELETED, Ended, Postgres, Transaction, places};

/// The store's number in PostgreSQL.
const STORE: i32 = 1;

/// Inside the gateway.
pub(crate) struct Follower {
    ends: FollowerEnds,
    session: Option<Session>,
    /// The last look at the store found nothing: it waits for a commit.
    waits: bool,
}

struct Session {
    connection: u64,
    cursor: Cursor,
    doing: Doing,
}

enum Doing {
    Nothing,
    /// A slice is read, its transaction has not begun.
    Read(Box<(Prepared, Transaction)>),
    /// The commit is sent.
    Committing(Cursor),
}

impl Follower {
    pub(crate) const fn new(ends: FollowerEnds) -> Follower {
        Follower {
            ends,
            session: None,
            waits: false,
        }
    }

    /// The connection ends.
    pub(crate) fn lose(&mut self) {
        self.session = None;
    }

    /// Whether all that is committed has been copied.
    pub(crate) fn is_idle(&self) -> bool {
        self.ends.followed.borrow().covers(*self.ends.committed.borrow())
    }

    /// Takes one step. Whether it has come farther: the writer may wait for that.
    pub(crate) fn step(
        &mut self,
        store: &Store,
        postgres: &mut Postgres,
        apart: bool,
    ) -> Result<bool, String> {
        let Some(session) = &mut self.session else {
            return self.open(postgres);
        };
        match std::mem::replace(&mut session.doing, Doing::Nothing) {
            Doing::Nothing => {
                if self.waits && !self.ends.committed.has_changed().unwrap_or(false) {
                    return Ok(false);
                }
                self.ends.committed.mark_unchanged();
                let slice = store.follow(session.cursor).map_err(|error| error.to_string())?;
                self.waits = slice.next == session.cursor;
                if self.waits {
                    return Ok(false);
                }
                let transaction = Transaction {
                    connection: session.connection,
                    old: session.cursor,
                    next: slice.next,
                    rows: Vec::new(),
                    refused: Vec::new(),
                    gaps: places(&slice, session.cursor),
                };
                session.doing = Doing::Read(Box::new((prepare(STORE, slice), transaction)));
                Ok(false)
            }
            Doing::Read(read) => {
                let (prepared, transaction) = *read;
                session.doing = Doing::Committing(prepared.next);
                let transaction = filled(&prepared, transaction, postgres)?;
                postgres.send(transaction);
                Ok(false)
            }
            Doing::Committing(next) => match postgres.answer(session.connection) {
                None => {
                    session.doing = Doing::Committing(next);
                    // Half the time of a commit it is on its way there.
                    postgres.arrive(apart);
                    Ok(false)
                }
                Some(Ended::Committed) => {
                    session.cursor = next;
                    self.ends.followed.send_replace(next.followed);
                    Ok(true)
                }
                Some(Ended::Moved) => {
                    self.session = None;
                    Ok(false)
                }
            },
        }
    }

    fn open(&mut self, postgres: &mut Postgres) -> Result<bool, String> {
        let Some((connection, cursor)) = postgres.connect() else {
            return Ok(false);
        };
        let end = *self.ends.committed.borrow();
        if !end.covers(cursor.followed) {
            return Err(format!("PostgreSQL is at {cursor:?}, the store ends at {end:?}"));
        }
        self.session = Some(Session {
            connection,
            cursor,
            doing: Doing::Nothing,
        });
        self.waits = false;
        self.ends.followed.send_replace(cursor.followed);
        Ok(true)
    }
}

/// The transaction with all rows that are taken: at once, or, when some are refused, those that are not.
fn filled(
    prepared: &Prepared,
    mut transaction: Transaction,
    postgres: &Postgres,
) -> Result<Transaction, String> {
    let transfer = match attempt(prepared, &mut transaction, postgres, false) {
        Some(transfer) => transfer,
        None => {
            attempt(prepared, &mut transaction, postgres, true).ok_or("an isolated row was not set aside")?
        }
    };
    let (deleted, refused): (Vec<_>, Vec<_>) = transfer
        .end()
        .refused
        .into_iter()
        .partition(|refused| refused.reason.contains(DELETED));
    if deleted.len() != transaction.gaps.len() {
        return Err(format!(
            "{:?} are passed over, told is {deleted:?}",
            transaction.gaps
        ));
    }
    transaction.refused = refused
        .into_iter()
        .map(|refused| (refused.table, refused.row))
        .collect();
    Ok(transaction)
}

/// `None`: a row was refused, and rows are not to be isolated.
fn attempt<'p>(
    prepared: &'p Prepared,
    transaction: &mut Transaction,
    postgres: &Postgres,
    isolate: bool,
) -> Option<Transfer<'p>> {
    transaction.rows.clear();
    let mut transfer = Transfer::of(prepared);
    while let Some(run) = transfer.next_run() {
        match postgres.take(run.table().name, &run.stream(), transaction) {
            Ok(()) => transfer.taken(),
            Err(reason) if isolate => transfer.refused(reason),
            Err(_) => return None,
        }
    }
    Some(transfer)
}
