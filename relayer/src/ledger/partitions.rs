//! A ledger on a server that is divided among several processes of one relayer: who they are, and which of them holds which
//! partition.
//!
//! A partition is a whole ledger, with tables in a schema of its own, a lock, an epoch and a turn: those alone decide who may write
//! to it. What is here says where to send a request, and who may replace whom. If it is old or wrong, requests are sent to somebody who
//! refuses them, or a partition changes hands needlessly; nothing is lost or written twice.

use super::location::Server;
use super::postgres::{Io, Session, end_writer, partitions_of, require_server};
use super::sql::{Database, values};
use super::{Ledger, LedgerError, Location, Reader};
use std::sync::Arc;
use steam_protocol::{Address, Hash, sha256};

/// Partitions of a ledger at most: each has a writer, readers and a settlement of its own.
pub const MOST_PARTITIONS: u16 = 64;

/// Which vaults a partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its number, from 0.
    pub partition: u16,
    /// How many there are.
    pub of: u16,
}

impl Share {
    /// All vaults.
    pub const WHOLE: Self = Self { partition: 0, of: 1 };

    /// Whether it has the vault.
    pub fn has(&self, vault: &Address) -> bool {
        partition_of(vault, self.of) == self.partition
    }
}

/// The partition that a vault belongs to, of `of` partitions. It never changes: a vault's charges stay where they are.
pub fn partition_of(vault: &Address, of: u16) -> u16 {
    let digest = sha256(&[b"steam-partition:v1", vault]);
    let number = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    u16::try_from(number % u64::from(of.max(1))).unwrap_or_default()
}

/// A process, as it told of itself last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, which no other process ever has.
    pub id: String,
    /// Where it takes requests of the other members.
    pub address: String,
    /// Counts how often it told of itself.
    pub beat: i64,
    /// Whether it takes no partition: it is about to end, or could not open one.
    pub resting: bool,
}

/// A partition, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub partition: u16,
    /// The member that has claimed it.
    pub member: Option<String>,
    /// Whether that member takes requests for it.
    pub serving: bool,
}

/// Everything that is known of members and partitions at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Every member that was not forgotten.
    pub members: Vec<Member>,
    /// Every partition, in order.
    pub partitions: Vec<Held>,
}

/// One member's connection to what all members share. It waits for the server.
pub struct Partitions {
    server: Server,
    io: Arc<Io>,
    session: Option<Session>,
    me: Member,
    of: u16,
    /// How often members had told of themselves when this one did last: a server where it was less since has lost commits.
    beats: i64,
    /// Whether such a server was met: the others count on, so that the next count says nothing of it.
    behind: bool,
}

/// Where that is which all members share.
const SHARED: &str = "steam_replicas";
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS steam_replicas.layout (
    partitions BIGINT NOT NULL, beats BIGINT NOT NULL, domain BYTEA NOT NULL, relayer BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS steam_replicas.member (
    id TEXT PRIMARY KEY, address TEXT NOT NULL, beat BIGINT NOT NULL, resting BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS steam_replicas.partition (partition BIGINT PRIMARY KEY, member TEXT, serving BIGINT NOT NULL);
";

impl Partitions {
    /// Divides the ledger at `place` of the deployment `domain` and relayer `relayer` into `of` partitions, or finds it divided so, and
    /// connects the member `id` at `address`.
    ///
    /// # Errors
    /// [`LedgerError::Foreign`] if it is divided otherwise or another's, [`LedgerError::Refused`] for a file, or why the server cannot
    /// be used.
    pub fn open(
        place: &Location,
        of: u16,
        (domain, relayer): (&Hash, &Address),
        (id, address): (String, String),
    ) -> Result<Self, LedgerError> {
        let Location::Server(server) = place else {
            return Err(LedgerError::Refused("divide a ledger that is in a file"));
        };
        let me = Member { id, address, beat: 0, resting: false };
        let mut partitions =
            Self { server: server.clone(), io: Io::start(server)?, session: None, me, of, beats: 0, behind: false };
        partitions.divide(domain, relayer)?;
        Ok(partitions)
    }

    fn divide(&mut self, domain: &Hash, relayer: &Address) -> Result<(), LedgerError> {
        let (of, server) = (self.of, self.server.clone());
        let session = self.session()?;
        require_server(session, &server)?;
        let db: &dyn Database = session;
        session.begin_dividing()?;
        session.make_shared(SHARED, TABLES)?;
        let foreign = |problem: String| LedgerError::Foreign { ledger: server.to_string(), problem };
        match partitions_of(session)? {
            Some(made) if made == i64::from(of) => {
                let whose = "SELECT domain = ?1 AND relayer = ?2 AS ours FROM steam_replicas.layout";
                if !db.one(whose, values![domain, relayer], |row| row.get::<bool>("ours"))? {
                    return Err(foreign(
                        "it belongs to another relayer, program or cluster: name another database".into(),
                    ));
                }
            }
            Some(made) => {
                let problem = format!(
                    "it has {made} partitions and replicas.partitions is {of}: set it to {made}, the number never changes"
                );
                return Err(foreign(problem));
            }
            None => {
                if session.has_table("writer")? && of > 1 {
                    let problem = "it is in one piece: set replicas.partitions to 1, or name another database for a ledger that begins empty";
                    return Err(foreign(problem.into()));
                }
                let layout =
                    "INSERT INTO steam_replicas.layout (partitions, beats, domain, relayer) VALUES (?1, 0, ?2, ?3)";
                db.execute(layout, values![of, domain, relayer])?;
                for partition in 0..of {
                    let row = "INSERT INTO steam_replicas.partition (partition, serving) VALUES (?1, 0)";
                    db.execute(row, values![partition])?;
                    if of > 1 {
                        session.make_schema(&super::location::schema_of(partition))?;
                    }
                }
            }
        }
        db.script("COMMIT")
    }

    /// Asks something, on a thread that may wait. A simulated server answers at once, and how long it took passes after that.
    ///
    /// # Errors
    /// [`LedgerError::Closed`] if it panicked.
    pub(crate) async fn ask<T: Send + 'static>(
        mut self,
        ask: impl FnOnce(&mut Self) -> T + Send + 'static,
    ) -> Result<(Self, T), LedgerError> {
        #[cfg(feature = "simulation")]
        if let Some(link) = self.server.link().cloned() {
            let answer = ask(&mut self);
            tokio::time::sleep(link.waited()).await;
            return Ok((self, answer));
        }
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&mut self);
            (self, answer)
        });
        asked.await.map_err(|_| LedgerError::Closed)
    }

    /// Where one partition is.
    pub fn place(&self, partition: u16) -> Location {
        Location::Server(self.part(partition))
    }

    /// Where all partitions are.
    pub fn places(&self) -> Vec<Location> {
        (0..self.of).map(|partition| self.place(partition)).collect()
    }

    /// A ledger in one piece is where it always was.
    fn part(&self, partition: u16) -> Server {
        if self.of == 1 { self.server.clone() } else { self.server.in_partition(partition) }
    }

    fn session(&mut self) -> Result<&Session, LedgerError> {
        if self.session.as_ref().is_some_and(Session::is_lost) {
            self.session = None;
        }
        match &mut self.session {
            Some(session) => Ok(session),
            none => Ok(none.insert(Session::connect(&self.server, &self.io)?.impatient())),
        }
    }

    fn run(&mut self, sql: &str, values: &[super::sql::Value<'_>]) -> Result<bool, LedgerError> {
        Ok(self.session()?.execute(sql, values)? > 0)
    }

    /// Tells the others that this member is there, and reads what they told.
    ///
    /// # Errors
    /// Why the server cannot be asked. [`LedgerError::Foreign`] if it does not have what it had committed: another member's partition
    /// must not be taken then, since its last charges may be lost.
    pub fn beat(&mut self) -> Result<Roster, LedgerError> {
        self.count()?;
        let me = self.me.clone();
        let beat = "INSERT INTO steam_replicas.member (id, address, beat, resting) VALUES (?1, ?2, 1, ?3)
                    ON CONFLICT (id) DO UPDATE SET beat = member.beat + 1, resting = ?3";
        self.run(beat, values![&me.id, &me.address, me.resting])?;
        let db: &dyn Database = self.session()?;
        let members =
            db.rows("SELECT id, address, beat, resting FROM steam_replicas.member ORDER BY id", &[], |row| {
                Ok(Member {
                    id: row.get("id")?,
                    address: row.get("address")?,
                    beat: row.get("beat")?,
                    resting: row.get("resting")?,
                })
            })?;
        let held = "SELECT partition, member, serving FROM steam_replicas.partition ORDER BY partition";
        let partitions = db.rows(held, &[], |row| {
            Ok(Held { partition: row.get("partition")?, member: row.opt("member")?, serving: row.get("serving")? })
        })?;
        Ok(Roster { members, partitions })
    }

    /// Counts a beat, and compares the count with what it was.
    fn count(&mut self) -> Result<(), LedgerError> {
        let count = "UPDATE steam_replicas.layout SET beats = beats + 1 RETURNING beats";
        let beats = (self.session()? as &dyn Database).one(count, &[], |row| row.get::<i64>("beats"))?;
        self.behind |= beats <= self.beats;
        if self.behind {
            let ledger = self.server.to_string();
            let problem = "the server does not have what it had committed: this process takes no partition any more; restart it once the server has, or reconcile the ledger with the chain";
            return Err(LedgerError::Foreign { ledger, problem: problem.into() });
        }
        self.beats = beats;
        Ok(())
    }

    /// Tells with the next beats whether this member takes partitions.
    pub fn rest(&mut self, resting: bool) {
        self.me.resting = resting;
    }

    /// Claims a partition that `from` had. Returns false if another member was first.
    ///
    /// # Errors
    /// Why the server cannot be asked.
    pub fn claim(&mut self, partition: u16, from: Option<&str>) -> Result<bool, LedgerError> {
        let me = self.me.id.clone();
        let claim = "UPDATE steam_replicas.partition SET member = ?2, serving = 0
                     WHERE partition = ?1 AND member IS NOT DISTINCT FROM CAST(?3 AS TEXT)";
        let claimed = self.run(claim, values![partition, &me, from])?;
        if claimed && from.is_some() {
            let part = self.part(partition);
            end_writer(&part, &self.io)?;
        }
        Ok(claimed)
    }

    /// Tells whether this member takes requests for a partition that it has. Returns false if it has it no more.
    ///
    /// # Errors
    /// Why the server cannot be asked.
    pub fn serve(&mut self, partition: u16, serving: bool) -> Result<bool, LedgerError> {
        let me = self.me.id.clone();
        let serve = "UPDATE steam_replicas.partition SET serving = ?3 WHERE partition = ?1 AND member = ?2";
        self.run(serve, values![partition, &me, serving])
    }

    /// Gives a partition back.
    ///
    /// # Errors
    /// Why the server cannot be asked.
    pub fn release(&mut self, partition: u16) -> Result<(), LedgerError> {
        let me = self.me.id.clone();
        let release =
            "UPDATE steam_replicas.partition SET member = NULL, serving = 0 WHERE partition = ?1 AND member = ?2";
        self.run(release, values![partition, &me]).map(drop)
    }

    /// Forgets a member that did not tell of itself since `member` was read.
    ///
    /// # Errors
    /// Why the server cannot be asked.
    pub fn forget(&mut self, member: &Member) -> Result<(), LedgerError> {
        let forget = "DELETE FROM steam_replicas.member WHERE id = ?1 AND beat = ?2";
        self.run(forget, values![&member.id, member.beat]).map(drop)
    }
}

impl Reader {
    /// Which vaults belong to the ledger, if it is this partition of one that is divided; all of them if it is in one piece.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn share(&self, partition: Option<u16>) -> Result<Share, LedgerError> {
        let Some(partition) = partition else { return Ok(Share::WHOLE) };
        let layout = "SELECT partitions FROM steam_replicas.layout";
        let of = self.db().row(layout, &[], |row| row.get("partitions"))?;
        Ok(Share { partition, of: of.ok_or(LedgerError::Malformed("layout"))? })
    }
}

impl Ledger {
    /// The partition in which a key was charged, if it was: its vault may be closed, so that the chain does not tell any more.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn partition_of_key(&self, key: Address) -> Result<Option<u16>, LedgerError> {
        let _turn = self.readers.scans.acquire().await.map_err(|_| LedgerError::Closed)?;
        for (partition, readers) in (0..).zip(self.all.iter()) {
            match self.read_of(readers.clone(), move |store| store.has_key(&key)).await {
                Err(LedgerError::Missing { .. }) => {} // nobody has opened that partition yet
                Ok(false) => {}
                Ok(true) => return Ok(Some(partition)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl std::fmt::Debug for Partitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partitions").field("me", &self.me).field("of", &self.of).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vault_has_one_partition_and_partitions_are_even() {
        let mut counts = [0; 4];
        for n in 0..4_000_u32 {
            let vault = sha256(&[&n.to_be_bytes()]);
            let found: Vec<u16> =
                (0..4).filter(|partition| Share { partition: *partition, of: 4 }.has(&vault)).collect();
            assert_eq!(found, [partition_of(&vault, 4)]);
            counts[usize::from(found[0])] += 1;
            assert!(Share::WHOLE.has(&vault));
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn where_a_vault_belongs_never_changes() {
        assert_eq!([1, 2, 3, 4, 5].map(|n| partition_of(&[n; 32], 8)), [3, 3, 0, 1, 5]);
    }
}
