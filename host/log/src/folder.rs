//! Where a log's parts lie in its folder.
//!
//! `public/` is what any web server or object store may serve. Everything else is the log's own: the
//! lock file, the lock database, the staging area, the high-water record and, unless kept elsewhere, the
//! key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::first_head;
use crate::storage::{Database, Files, FolderLock, HighWater as _, HighWaterFile, Lock as _, Storage};
use crate::{Error, LogKey, repair, retire};

/// The paths of one log.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    key: PathBuf,
    high_water: PathBuf,
}

impl Folder {
    /// The log in `root`, with key and high-water record inside unless said otherwise.
    pub fn new(root: PathBuf, key: Option<PathBuf>, high_water: Option<PathBuf>) -> Self {
        Self {
            key: key.unwrap_or_else(|| root.join("key")),
            high_water: high_water.unwrap_or_else(|| root.join("high-water")),
            root,
        }
    }

    /// The folder to serve.
    pub fn public(&self) -> PathBuf {
        self.root.join("public")
    }

    /// The lock database.
    pub fn database(&self) -> PathBuf {
        self.root.join("log.sqlite")
    }

    /// The key file.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The record of a retired log: its verifier key.
    pub fn retired(&self) -> PathBuf {
        self.root.join("retired")
    }

    /// Makes a new log called `origin`, with a key of its own.
    ///
    /// # Errors
    /// [`Error::LogExists`] where there is any part of a log already: a key that has signed must never
    /// start over. [`Error::Key`], [`Error::Io`].
    pub fn init(&self, origin: &str) -> Result<LogKey, Error> {
        for path in
            [self.database(), self.key.clone(), self.high_water.clone(), self.public(), self.retired()]
        {
            if path.exists() {
                return Err(Error::LogExists { path: path.display().to_string() });
            }
        }
        std::fs::create_dir_all(&self.root).map_err(|error| Error::io(&self.root, &error))?;
        let _held = self.lock()?;
        let key = LogKey::create(&self.key, origin)?;
        let head = first_head(&key)?;
        Files::open(self.public(), self.staging())?;
        self.high_water_record().write(&head.head)?;
        Database::create(&self.database(), &head)?;
        Ok(key)
    }

    /// Keeps other programs off this folder.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NoLog`] or [`Error::Io`].
    pub fn lock(&self) -> Result<FolderLock, Error> {
        if !self.root.is_dir() {
            return Err(Error::NoLog { path: self.root.display().to_string() });
        }
        FolderLock::take(&self.root.join("lock"))
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`Error::Retired`], whether or not a key is there; [`Error::Key`] or [`Error::Io`].
    pub fn open_key(&self) -> Result<Arc<LogKey>, Error> {
        if let Some(key) = retire::retired(self)? {
            return Err(retire::retired_error(self, &key));
        }
        LogKey::open(&self.key).map(Arc::new)
    }

    /// Opens what the log keeps. The folder must be [locked](Self::lock). A database from before releases were
    /// indexed gets that index here, from the entries.
    ///
    /// # Errors
    /// [`Error::NoLog`], [`Error::DatabaseDamaged`], [`Error::Database`] or [`Error::Io`]; where entries are to be
    /// read, [`Error::Missing`] or [`Error::Damaged`].
    pub fn open(&self) -> Result<Storage, Error> {
        let database = Arc::new(Database::open(&self.database())?);
        // Read once here, so that a database without a head is named before anything else is.
        let head = database.head()?.head;
        if !database.has_releases()? {
            database.fill_releases(&repair::releases(&self.files(), &head)?)?;
        }
        Ok(self.storage(database))
    }

    /// What the log keeps, with this database.
    pub fn storage(&self, database: Arc<Database>) -> Storage {
        let files = Arc::new(self.files());
        Storage {
            tiles: files.clone(),
            blobs: files,
            lock: database,
            high_water: Arc::new(self.high_water_record()),
        }
    }

    /// The public files, the staging area and the blobs.
    pub fn files(&self) -> Files {
        Files::at(self.public(), self.staging())
    }

    /// The high-water record.
    pub fn high_water_record(&self) -> HighWaterFile {
        HighWaterFile::new(self.high_water.clone())
    }

    /// Makes the high-water record anew where it was lost: for an operator who knows that this folder is no old copy.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is a record: it is not to be made anew at every start. As storage fails.
    pub fn create_high_water(&self) -> Result<(), Error> {
        let record = self.high_water_record();
        if record.read()?.is_some() {
            let why = "there is a record: leave this out".into();
            return Err(Error::Setting { name: "--create-high-water", why });
        }
        record.write(&self.open()?.lock.head()?.head)
    }

    /// Renames the database, so that nothing of it is lost; gives its new path, if there was one.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put_database_aside(&self) -> Result<Option<PathBuf>, Error> {
        let mut aside = None;
        for suffix in ["-wal", "-shm", ""] {
            let path = with_suffix(&self.database(), suffix);
            if !path.exists() {
                continue;
            }
            let to = (0..).map(|n| with_suffix(&self.root.join(format!("damaged-{n}.sqlite")), suffix));
            let Some(to) = to.into_iter().find(|to| !to.exists()) else { break };
            std::fs::rename(&path, &to).map_err(|error| Error::io(&path, &error))?;
            aside = Some(to);
        }
        Ok(aside)
    }

    fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
