//! The lock database in SQLite: the newest checkpoint, the leaf index, the admitted boots, the releases.
//!
//! Write-ahead logging with full synchronisation: a commit is durable when it returns. Sequencer and
//! readers have a connection each, so that looking up a leaf never waits for a commit.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, params};

use super::{BootRow, Commit, LeafKey, Lock, Release, SignedHead, TreeHead};
use crate::Error;

/// "vsLg": tells this database from any other SQLite file.
const APPLICATION_ID: i32 = 0x7673_4c67;
const VERSION: i32 = 2;
/// Has no index of releases, or one of other content, until [`Database::fill_releases`].
const VERSION_BEFORE_RELEASES: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        size INTEGER NOT NULL CHECK (size >= 0),
        root BLOB NOT NULL CHECK (length(root) = 32),
        note TEXT NOT NULL
    ) STRICT;
    CREATE TABLE leaf (
        key BLOB PRIMARY KEY CHECK (length(key) = 16),
        place INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE boot (
        id BLOB PRIMARY KEY CHECK (length(id) = 32),
        spki BLOB NOT NULL,
        place INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

const RELEASES: &str = "
    CREATE TABLE IF NOT EXISTS released (
        place INTEGER PRIMARY KEY,
        payload BLOB NOT NULL CHECK (length(payload) = 32),
        kind INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS released_payload ON released (payload);
";

/// The lock database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Database {
    /// Makes the database of a new log, whose first head is `head`.
    ///
    /// # Errors
    /// [`Error::LogExists`] where the file exists, [`Error::Database`].
    pub fn create(path: &Path, head: &SignedHead) -> Result<Self, Error> {
        if path.exists() {
            return Err(Error::LogExists { path: path.display().to_string() });
        }
        let failed = |error: rusqlite::Error| classify(path, &error);
        let mut connection = Connection::open(path).map_err(failed)?;
        configure(&connection).map_err(failed)?;
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch(SCHEMA).map_err(failed)?;
        transaction.execute_batch(RELEASES).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO head (id, size, root, note) VALUES (0, ?1, ?2, ?3)",
                params![signed(head.head.size)?, head.head.root, head.note],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        drop(connection);
        Self::open(path)
    }

    /// Opens the database of a log and looks for damage.
    ///
    /// # Errors
    /// [`Error::NoLog`], [`Error::DatabaseDamaged`] or [`Error::Database`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        if !path.is_file() {
            return Err(Error::NoLog { path: shown });
        }
        let failed = |error: rusqlite::Error| classify(path, &error);
        let connect = || -> Result<Connection, rusqlite::Error> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            configure(&connection)?;
            Ok(connection)
        };
        let writer = connect().map_err(failed)?;
        let number = |name: &str| writer.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let found = (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
        if found.0 != APPLICATION_ID || ![VERSION_BEFORE_RELEASES, VERSION].contains(&found.1) {
            let message = format!("application and version {found:x?} are not those of a log's database");
            return Err(Error::DatabaseDamaged { path: shown, message });
        }
        let verdict: String =
            writer.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if verdict != "ok" {
            return Err(Error::DatabaseDamaged { path: shown, message: verdict });
        }
        writer.execute_batch(RELEASES).map_err(failed)?;
        let reader = connect().map_err(failed)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), reader: Mutex::new(reader) })
    }

    /// Forgets all leaves, boots and releases, so that an index rebuilt from the tiles can take their place.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    pub fn clear_index(&self) -> Result<(), Error> {
        guard(&self.writer)
            .execute_batch("BEGIN; DELETE FROM leaf; DELETE FROM boot; DELETE FROM released; COMMIT;")
            .map_err(|error| classify(&self.path, &error))
    }

    /// Whether the index of releases is filled: a database from before there was one has none.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    pub fn has_releases(&self) -> Result<bool, Error> {
        let version: i32 = guard(&self.writer)
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| classify(&self.path, &error))?;
        Ok(version == VERSION)
    }

    /// Fills the index of releases with all that the log has.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    pub fn fill_releases(&self, releases: &[(Release, u64)]) -> Result<(), Error> {
        let mut connection = guard(&self.writer);
        let failed = |error: rusqlite::Error| classify(&self.path, &error);
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute_batch("DROP TABLE IF EXISTS release; DELETE FROM released;").map_err(failed)?;
        insert(&transaction, &self.path, &[], &[], releases)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Adds leaves, boots and releases without moving the head: for rebuilding the index.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    pub fn add_index(
        &self,
        leaves: &[(LeafKey, u64)],
        boots: &[BootRow],
        releases: &[(Release, u64)],
    ) -> Result<(), Error> {
        let mut connection = guard(&self.writer);
        let failed = |error: rusqlite::Error| classify(&self.path, &error);
        let transaction = connection.transaction().map_err(failed)?;
        insert(&transaction, &self.path, leaves, boots, releases)?;
        transaction.commit().map_err(failed)
    }

    /// How many leaves the index holds.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::DatabaseDamaged`].
    pub fn index_len(&self) -> Result<u64, Error> {
        let count: i64 = guard(&self.reader)
            .query_row("SELECT count(*) FROM leaf", [], |row| row.get(0))
            .map_err(|error| classify(&self.path, &error))?;
        Ok(count.unsigned_abs())
    }

    fn places(&self, select: &str, of: &dyn rusqlite::ToSql) -> Result<Vec<u64>, Error> {
        let connection = guard(&self.reader);
        connection
            .prepare_cached(select)
            .and_then(|mut select| {
                let places = select.query_map([of], |row| row.get::<_, i64>(0))?;
                places.map(|place| place.map(i64::unsigned_abs)).collect()
            })
            .map_err(|error| classify(&self.path, &error))
    }
}

impl Lock for Database {
    fn head(&self) -> Result<SignedHead, Error> {
        let connection = guard(&self.writer);
        let row = connection
            .query_row("SELECT size, root, note FROM head WHERE id = 0", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, String>(2)?))
            })
            .map_err(|error| classify(&self.path, &error))?;
        let (size, root, note) = row;
        Ok(SignedHead { head: TreeHead { size: size.unsigned_abs(), root }, note })
    }

    fn commit(&self, commit: &Commit<'_>) -> Result<(), Error> {
        let mut connection = guard(&self.writer);
        let failed = |error: rusqlite::Error| classify(&self.path, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let Commit { from, to, leaves, boots, releases } = commit;
        let changed = transaction
            .prepare_cached(
                "UPDATE head SET size = ?1, root = ?2, note = ?3 WHERE id = 0 AND size = ?4 AND root = ?5",
            )
            .and_then(|mut update| {
                update.execute(params![
                    signed(to.head.size).unwrap_or(i64::MAX),
                    to.head.root,
                    to.note,
                    signed(from.size).unwrap_or(i64::MAX),
                    from.root
                ])
            })
            .map_err(failed)?;
        if changed != 1 {
            let found: i64 = transaction
                .query_row("SELECT size FROM head WHERE id = 0", [], |row| row.get(0))
                .map_err(failed)?;
            return Err(Error::CheckpointMoved { expected: from.size, found: found.unsigned_abs() });
        }
        insert(&transaction, &self.path, leaves, boots, releases)?;
        transaction.commit().map_err(failed)
    }

    fn find(&self, leaf: &LeafKey) -> Result<Option<u64>, Error> {
        let connection = guard(&self.reader);
        connection
            .prepare_cached("SELECT place FROM leaf WHERE key = ?1")
            .and_then(|mut select| select.query_row([leaf], |row| row.get::<_, i64>(0)).optional())
            .map(|found| found.map(i64::unsigned_abs))
            .map_err(|error| classify(&self.path, &error))
    }

    fn boot(&self, id: &[u8; 32]) -> Result<Option<BootRow>, Error> {
        let connection = guard(&self.reader);
        connection
            .prepare_cached("SELECT spki, place FROM boot WHERE id = ?1")
            .and_then(|mut select| {
                let row = |row: &rusqlite::Row<'_>| {
                    let place: i64 = row.get(1)?;
                    Ok(BootRow { id: *id, spki: row.get(0)?, index: place.unsigned_abs() })
                };
                select.query_row([id], row).optional()
            })
            .map_err(|error| classify(&self.path, &error))
    }

    fn release(&self, payload: &[u8; 32]) -> Result<Vec<u64>, Error> {
        self.places("SELECT place FROM released WHERE payload = ?1 ORDER BY place", payload)
    }

    fn releases(&self, kind: u8) -> Result<Vec<u64>, Error> {
        self.places("SELECT place FROM released WHERE kind = ?1 ORDER BY place", &kind)
    }
}

/// Adds rows, in the order of their keys so that neighbours share pages. A key that is there already
/// keeps its first place: the log refuses doubles before it comes to this.
fn insert(
    connection: &Connection,
    path: &Path,
    leaves: &[(LeafKey, u64)],
    boots: &[BootRow],
    releases: &[(Release, u64)],
) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| classify(path, &error);
    let mut leaves = leaves.to_vec();
    leaves.sort_unstable();
    let mut add = connection
        .prepare_cached("INSERT INTO leaf (key, place) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .map_err(failed)?;
    for (key, place) in &leaves {
        add.execute(params![key, signed(*place)?]).map_err(failed)?;
    }
    let mut add = connection
        .prepare_cached("INSERT INTO boot (id, spki, place) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
        .map_err(failed)?;
    for boot in boots {
        add.execute(params![boot.id, boot.spki, signed(boot.index)?]).map_err(failed)?;
    }
    let mut add = connection
        .prepare_cached(
            "INSERT INTO released (place, payload, kind) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )
        .map_err(failed)?;
    for (Release { payload, kind }, place) in releases {
        add.execute(params![signed(*place)?, payload, kind]).map_err(failed)?;
    }
    Ok(())
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(core::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Kibibytes when negative: a bound on memory that does not depend on how long the log is.
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    Ok(())
}

fn guard(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A transaction that was cut by a panic rolls back when it is dropped.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signed(number: u64) -> Result<i64, Error> {
    let why = format!("{number} exceeds what the database holds");
    i64::try_from(number).map_err(|_| Error::Setting { name: "size", why })
}

fn classify(path: &Path, error: &rusqlite::Error) -> Error {
    let (path, message) = (path.display().to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::DatabaseDamaged { path, message }
        }
        Some(ErrorCode::DiskFull) => Error::Full { path, message },
        Some(_) => Error::Database { path, message },
        // A row or column that is not of the schema's kind.
        None => Error::DatabaseDamaged { path, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(size: u64) -> SignedHead {
        let root = [u8::try_from(size % 256).unwrap(); 32];
        SignedHead { head: TreeHead { size, root }, note: format!("note {size}") }
    }

    #[test]
    fn a_commit_is_refused_when_the_head_moved_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock.sqlite");
        let first = Database::create(&path, &head(0)).unwrap();
        let second = Database::open(&path).unwrap();
        let commit = |database: &Database, from: u64, to: u64, key: u8| {
            let leaves = [([key; 16], from)];
            let (from, to) = (head(from).head, &head(to));
            database.commit(&Commit { from, to, leaves: &leaves, boots: &[], releases: &[] })
        };
        commit(&first, 0, 1, 1).unwrap();
        assert_eq!(commit(&second, 0, 1, 2), Err(Error::CheckpointMoved { expected: 0, found: 1 }));
        assert_eq!(second.head(), Ok(head(1)));
        assert_eq!(second.find(&[2; 16]), Ok(None), "the refused commit left a leaf");
        assert_eq!(first.find(&[1; 16]), Ok(Some(0)));
    }

    #[test]
    fn damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock.sqlite");
        let database = Database::create(&path, &head(0)).unwrap();
        let leaves: Vec<_> = (0..3_000_u64)
            .map(|place| {
                let mut key = [0; 16];
                key[..8].copy_from_slice(&place.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                (key, place)
            })
            .collect();
        let (from, to) = (head(0).head, &head(3_000));
        let commit = Commit { from, to, leaves: &leaves, boots: &[], releases: &[] };
        database.commit(&commit).unwrap();
        drop(database);
        Database::open(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Database::open(&path).unwrap_err().code()
        };
        assert_eq!(refused(&good[..good.len() / 2]), "database_damaged");
        assert_eq!(refused(b"not a database, but long enough to look at; it goes on and on and on and on ..... and on and on and on."), "database_damaged");
        let mut scribbled = good.clone();
        for page in 2..scribbled.len() / 4096 {
            scribbled[page * 4096..page * 4096 + 64].fill(0xa5);
        }
        assert_eq!(refused(&scribbled), "database_damaged");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Database::open(&path), Err(Error::NoLog { .. })));
    }
}
