//! What a witness must never forget: its key, and the latest checkpoint it cosigned of each log.
//!
//! One SQLite database holds both, so that a key cannot come to work on somebody else's state, or on
//! none, by way of a file that was moved. SQLite rather than a file that is renamed into place: the
//! comparison with the old size and the write of the new one are one transaction, the lock on the
//! file keeps a second process out for as long as the first one lives, and recovery after a crash is
//! code that has seen more crashes than ours would. `synchronous = FULL` makes each commit wait until
//! the write-ahead log is on disk.
//!
//! A copy of this database must never be put to work again after the original has cosigned more:
//! that is the one way in which a witness could come to sign a fork. A lost witness gets a new key.

use std::path::{Path, PathBuf};

use ring::rand::SecureRandom;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use zeroize::Zeroizing;

use crate::{Error, Signer};

/// The database's name within the state folder.
pub const FILE_NAME: &str = "witness.sqlite";

/// Marks the file as ours: "vcsw" in SQLite's `application_id`.
const APPLICATION_ID: u32 = 0x7663_7377;
const VERSION: u32 = 1;
const SCHEMA: &str = "
    CREATE TABLE witness (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        name TEXT NOT NULL,
        seed BLOB NOT NULL CHECK (length(seed) = 32)
    ) STRICT;
    CREATE TABLE checkpoint (
        origin TEXT PRIMARY KEY,
        size INTEGER NOT NULL CHECK (size >= 0),
        root BLOB NOT NULL CHECK (length(root) = 32),
        time INTEGER NOT NULL CHECK (time >= 0),
        note TEXT NOT NULL
    ) STRICT;
";

/// The latest checkpoint of one log that was cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// Leaves in the tree.
    pub size: u64,
    /// The tree's root.
    pub root: [u8; 32],
    /// The cosignature's time, in Unix seconds.
    pub time: u64,
    /// The checkpoint with the log's signature and ours.
    pub note: String,
}

/// Why [`State::advance`] wrote nothing that counts.
#[derive(Debug, PartialEq, Eq)]
pub enum AdvanceError {
    /// What is stored is not what the new checkpoint was held against.
    Conflict {
        /// The stored size, 0 for none.
        latest: u64,
    },
    /// Nothing was written, and trying again may succeed: the disk is full.
    Full(String),
    /// Whether something was written is not known.
    InDoubt(String),
}

/// The open state of a witness. While it lives no other process can open it.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    database: Connection,
}

impl State {
    /// Makes a witness with a fresh key in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is one already, [`Error::Name`], [`Error::Random`], or that the
    /// folder cannot be written.
    pub fn init(folder: &Path, name: &str, random: &dyn SecureRandom) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0u8; 32]);
        random.fill(seed.as_mut()).map_err(|_| Error::Random)?;
        Signer::new(name, &seed)?;
        make_folder(folder)?;
        let path = folder.join(FILE_NAME);
        if path.exists() {
            return Err(Error::Exists(folder.into()));
        }
        // The witness appears under its name only when it is complete.
        let unfinished = folder.join(format!("{FILE_NAME}.new"));
        make_private_file(&unfinished)?;
        let state = Self { path: unfinished.clone(), database: open_database(&unfinished)? };
        state.try_database(|database| {
            database.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA;")?;
            database.pragma_update(None, "application_id", APPLICATION_ID)?;
            let transaction = database.unchecked_transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.execute(
                "INSERT INTO witness (id, name, seed) VALUES (1, ?1, ?2)",
                params![name, seed.as_slice()],
            )?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()
        })?;
        drop(state);
        let io = |problem| Error::Io { path: path.clone(), problem };
        std::fs::hard_link(&unfinished, &path).map_err(|problem| match problem.kind() {
            std::io::ErrorKind::AlreadyExists => Error::Exists(folder.into()),
            _ => io(problem),
        })?;
        std::fs::remove_file(&unfinished).map_err(io)?;
        sync_folder(folder)?;
        Self::open(folder)
    }

    /// Opens the witness in `folder` and keeps every other process out.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Busy`], [`Error::Format`] or [`Error::Database`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE_NAME);
        if !path.exists() {
            return Err(Error::Missing(folder.into()));
        }
        let state = Self { database: open_database(&path)?, path };
        state.lock(folder)?;
        state.check_format()?;
        Ok(state)
    }

    /// The witness's key.
    ///
    /// # Errors
    /// [`Error::Database`] or [`Error::Name`].
    pub fn signer(&self) -> Result<Signer, Error> {
        let (name, seed) = self.try_database(|database| {
            database.query_row("SELECT name, seed FROM witness", [], |row| {
                Ok((row.get::<_, String>(0)?, Zeroizing::new(row.get::<_, [u8; 32]>(1)?)))
            })
        })?;
        Signer::new(&name, &seed)
    }

    /// The latest checkpoint of `origin` that was cosigned.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn latest(&self, origin: &str) -> Result<Option<Latest>, Error> {
        self.try_database(|database| latest(database, origin))
    }

    /// The latest time of any cosignature, in Unix seconds; 0 for none.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn time_latest(&self) -> Result<u64, Error> {
        self.try_database(|database| {
            database.query_row("SELECT coalesce(max(time), 0) FROM checkpoint", [], |row| row.get(0))
        })
        .map(unsigned)
    }

    /// Replaces `old`, which the caller held the new checkpoint against, by `new`. When this returns
    /// without an error the new checkpoint is on disk.
    ///
    /// # Errors
    /// [`AdvanceError`]; after each of them the cosignature must not leave.
    pub fn advance(&mut self, origin: &str, old: Option<&Latest>, new: &Latest) -> Result<(), AdvanceError> {
        let stored = old.map(|old| (old.size, old.root));
        let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => AdvanceError::Full(error.to_string()),
            _ => AdvanceError::InDoubt(error.to_string()),
        };
        let transaction =
            self.database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found = latest(&transaction, origin).map_err(failed)?;
        if found.as_ref().map(|found| (found.size, found.root)) != stored
            || found.as_ref().is_some_and(|found| new.size < found.size)
        {
            return Err(AdvanceError::Conflict { latest: found.map_or(0, |found| found.size) });
        }
        transaction
            .execute(
                "INSERT OR REPLACE INTO checkpoint (origin, size, root, time, note) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![origin, integer(new.size), new.root.as_slice(), integer(new.time), new.note],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Takes the lock that lasts until the connection closes.
    fn lock(&self, folder: &Path) -> Result<(), Error> {
        let taken = self.database.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;
             BEGIN EXCLUSIVE; COMMIT;",
        );
        taken.map_err(|problem| match problem.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy(folder.into()),
            Some(ErrorCode::NotADatabase) => self.format("not a database"),
            _ => Error::Database { path: self.path.clone(), problem },
        })
    }

    fn check_format(&self) -> Result<(), Error> {
        let number = |name| {
            self.try_database(|database| database.pragma_query_value(None, name, |row| row.get::<_, u32>(0)))
        };
        let (application, version) = (number("application_id")?, number("user_version")?);
        if (application, version) != (APPLICATION_ID, VERSION) {
            return Err(self.format(&format!("application {application:#x}, version {version}")));
        }
        let sound: String = self.try_database(|database| {
            database.pragma_query_value(None, "integrity_check", |row| row.get(0))
        })?;
        if sound != "ok" {
            return Err(self.format(&sound));
        }
        Ok(())
    }

    fn format(&self, found: &str) -> Error {
        Error::Format { path: self.path.clone(), known: VERSION, found: found.into() }
    }

    fn try_database<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        work(&self.database).map_err(|problem| match problem.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => self.format(&problem.to_string()),
            _ => Error::Database { path: self.path.clone(), problem },
        })
    }
}

fn latest(database: &Connection, origin: &str) -> rusqlite::Result<Option<Latest>> {
    let mut statement =
        database.prepare("SELECT size, root, time, note FROM checkpoint WHERE origin = ?1")?;
    statement
        .query_row([origin], |row| {
            let (size, time) = (unsigned(row.get(0)?), unsigned(row.get(2)?));
            Ok(Latest { size, root: row.get(1)?, time, note: row.get(3)? })
        })
        .optional()
}

/// A size or time as SQLite holds it. Notes state none above 2⁶³ − 1.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The table refuses negative values.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn open_database(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    // NOFOLLOW refuses links anywhere in the path, so links in the folder's own path are resolved first.
    let full = path.canonicalize().map_err(|problem| Error::Io { path: path.into(), problem })?;
    Connection::open_with_flags(full, flags).map_err(|problem| Error::Database { path: path.into(), problem })
}

/// A folder that only its owner can enter: the key is in it.
fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|problem| Error::Io { path: folder.into(), problem })
}

/// An empty file that only its owner can read. What an init that was killed left behind is discarded:
/// it never had the witness's name, so nothing was ever signed with its key.
fn make_private_file(path: &Path) -> Result<(), Error> {
    let io = |problem| Error::Io { path: path.into(), problem };
    match std::fs::remove_file(path) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => return Err(io(problem)),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(io)
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|problem| Error::Io { path: folder.into(), problem })
}
