//! The orders in `SQLite`: one connection that writes, behind a mutex, and one that reads for each worker.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension, params};

/// Orders that are there before the first request.
const SEEDED: i64 = 20_000;
/// Products of the shop.
const PRODUCTS: i64 = 200;

/// The database of the shop.
pub(crate) struct Store {
    path: PathBuf,
    ledger: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
}

/// An order as it is stored.
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) product: i64,
    pub(crate) quantity: i64,
    pub(crate) cents: i64,
}

impl Store {
    /// Makes a new database at `path` with one read connection for each of `workers`.
    pub(crate) fn create(path: &Path, workers: usize) -> Result<Self> {
        for suffix in ["", "-wal", "-shm"] {
            let old = PathBuf::from(format!("{}{suffix}", path.display()));
            if old.exists() {
                std::fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        let mut ledger = open(path)?;
        seed(&mut ledger)?;
        let readers = (0..workers).map(|_| open(path).map(Mutex::new)).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), ledger: Mutex::new(ledger), readers })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the ledger. Everybody who places an order waits here.
    #[inline(never)]
    pub(crate) fn lock_ledger(&self) -> MutexGuard<'_, Connection> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks one order up by its number.
    pub(crate) fn find(&self, worker: usize, id: i64) -> Result<Option<Order>> {
        let reader = self.reader(worker);
        let mut query = reader.prepare_cached("SELECT id, product, quantity, cents FROM orders WHERE id = ?1")?;
        Ok(query.query_row([id], order).optional()?)
    }

    /// Looks one order up by reading `thousands` of rows, as a query without an index does.
    #[inline(never)]
    pub(crate) fn find_by_scan(&self, worker: usize, id: i64, thousands: u64) -> Result<Option<Order>> {
        let reader = self.reader(worker);
        let mut query = reader.prepare_cached(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
             SELECT id, product, quantity, cents FROM orders
             WHERE id = ?1 AND (SELECT sum(i % 7) FROM n) > 0 AND note LIKE '%order%'",
        )?;
        let rows = i64::try_from(thousands.saturating_mul(1000))?;
        Ok(query.query_row([id, rows], order).optional()?)
    }

    fn reader(&self, worker: usize) -> MutexGuard<'_, Connection> {
        self.readers[worker % self.readers.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the goods from the stock and writes the order, in a transaction that is still open afterwards.
/// `None`: there is no such product.
pub(crate) fn insert(ledger: &Connection, product: i64, quantity: i64) -> Result<Option<Order>> {
    ledger.execute_batch("BEGIN IMMEDIATE")?;
    match write(ledger, product, quantity) {
        Ok(Some(order)) => Ok(Some(order)),
        other => {
            ledger.execute_batch("ROLLBACK")?;
            other
        }
    }
}

/// Commits; returns when the disk has it.
#[inline(never)]
pub(crate) fn commit(ledger: &Connection) -> Result<()> {
    if let Err(error) = ledger.execute_batch("COMMIT") {
        ledger.execute_batch("ROLLBACK")?;
        return Err(error.into());
    }
    Ok(())
}

fn write(ledger: &Connection, product: i64, quantity: i64) -> Result<Option<Order>> {
    let price: Option<i64> = ledger
        .prepare_cached("SELECT cents FROM products WHERE id = ?1")?
        .query_row([product], |r| r.get(0))
        .optional()?;
    let Some(price) = price else { return Ok(None) };
    ledger.prepare_cached("UPDATE products SET sold = sold + ?2 WHERE id = ?1")?.execute([product, quantity])?;
    let cents = price * quantity;
    let id = ledger
        .prepare_cached("INSERT INTO orders (product, quantity, cents, note) VALUES (?1, ?2, ?3, ?4)")?
        .insert(params![product, quantity, cents, "an order from the shop"])?;
    Ok(Some(Order { id, product, quantity, cents }))
}

fn order(row: &rusqlite::Row<'_>) -> rusqlite::Result<Order> {
    Ok(Order { id: row.get(0)?, product: row.get(1)?, quantity: row.get(2)?, cents: row.get(3)? })
}

/// A connection as the shop uses it: write-ahead log, and each commit on the disk before it returns.
fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn seed(ledger: &mut Connection) -> Result<()> {
    let all = ledger.transaction()?;
    all.execute_batch(
        "CREATE TABLE products (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL, sold INTEGER NOT NULL DEFAULT 0);
         CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER NOT NULL, quantity INTEGER NOT NULL,
                              cents INTEGER NOT NULL, note TEXT NOT NULL);",
    )?;
    for id in 1..=PRODUCTS {
        all.prepare_cached("INSERT INTO products (id, cents) VALUES (?1, ?2)")?.execute([id, 99 + 37 * id])?;
    }
    for id in 1..=SEEDED {
        all.prepare_cached("INSERT INTO orders (product, quantity, cents, note) VALUES (?1, 1, 100, 'an old order')")?
            .execute([id % PRODUCTS + 1])?;
    }
    all.commit()?;
    Ok(())
}
