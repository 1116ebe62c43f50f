//! What a simulated server keeps.

use rusqlite::Connection;
use rusqlite::backup::Backup;
use std::collections::BTreeMap;

/// Where tables are that no schema is named for.
pub(super) const PUBLIC: &str = "public";
/// The schema that statements name themselves.
pub(super) const NAMED: &str = "steam_replicas";
/// Statements a connection keeps prepared.
const STATEMENTS: usize = 128;

/// The databases of all schemas, and nothing of any transaction that is under way.
#[derive(Debug)]
pub struct Data(BTreeMap<String, Connection>);

impl Data {
    /// Nothing.
    pub(super) fn new() -> rusqlite::Result<Self> {
        let mut data = Self(BTreeMap::new());
        data.create(PUBLIC)?;
        Ok(data)
    }

    /// Makes a schema, if it is not there.
    pub(super) fn create(&mut self, schema: &str) -> rusqlite::Result<()> {
        if !self.0.contains_key(schema) {
            self.0.insert(schema.to_owned(), open(schema)?);
        }
        Ok(())
    }

    /// The database of a schema.
    pub fn of(&self, schema: &str) -> Option<&Connection> {
        self.0.get(schema)
    }

    /// The databases in which `schema` is or whose tables it names.
    pub(super) fn named<'a>(schema: &'a str, sql: &str) -> &'a str {
        if sql.contains(NAMED) { NAMED } else { schema }
    }

    /// The same once more.
    pub(super) fn copy(&self) -> rusqlite::Result<Self> {
        let mut copies = BTreeMap::new();
        for (schema, from) in &self.0 {
            let mut to = open(schema)?;
            let name = inside(schema);
            Backup::new_with_names(from, name, &mut to, name)?.step(-1)?;
            copies.insert(schema.clone(), to);
        }
        Ok(Self(copies))
    }
}

/// What SQLite calls the database of a schema.
fn inside(schema: &str) -> &'static str {
    if schema == NAMED { NAMED } else { "main" }
}

fn open(schema: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if schema == NAMED {
        connection.execute_batch(&format!("ATTACH ':memory:' AS {NAMED}"))?;
    }
    Ok(connection)
}
