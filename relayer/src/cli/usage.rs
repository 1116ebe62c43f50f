//! `steam usage`: what a key used, summed by day, model and provider.

use super::amount::PicoUsdc;
use super::asking::{Asking, Period, explain};
use super::error::{CliError, Result};
use super::output::{Report, counted, line, name_of, table};
use super::solana::Global;
use crate::date::show_second;
use crate::views::UsageList;
use serde::Serialize;
use std::io::{self, Write};
use steam_client::ApiError;
use steam_protocol::units::Pico;

/// What a key used
#[derive(Debug, clap::Args)]
#[command(after_help = "The relayer's own sums: `steam statement` lists the receipts behind them, and checks each.")]
pub struct Usage {
    /// What the sums are divided by
    #[arg(long, value_enum, value_name = "NAME,...", value_delimiter = ',', default_value = "day,model,provider")]
    pub by: Vec<By>,
    /// Of which time.
    #[command(flatten)]
    pub period: Period,
    /// As whom.
    #[command(flatten)]
    pub asking: Asking,
}

/// What sums can be divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The day on which requests began, in UTC.
    Day,
    /// The model.
    Model,
    /// The provider.
    Provider,
}

impl Usage {
    pub async fn run(self, global: &Global) -> Result<()> {
        let asked = self.asking.open(global).await?;
        let by = self.by.iter().map(name_of).collect::<Vec<_>>().join(",");
        let list = asked.api.usage(&asked.proof, &self.period.query(), &by).await.map_err(|error| explain(&error))?;
        global.output.print(&Used::of(asked.key, list)?)
    }
}

#[derive(Debug, Serialize)]
struct Used {
    key: String,
    since: i64,
    until: i64,
    rows: Vec<Row>,
    total: Sum,
}

#[derive(Debug, Serialize)]
struct Row {
    day: Option<String>,
    model: Option<String>,
    provider: Option<String>,
    #[serde(flatten)]
    sum: Sum,
}

#[derive(Debug, Serialize)]
struct Sum {
    requests: u64,
    input_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    cost_pico: PicoUsdc,
}

impl Sum {
    fn of(sum: &crate::views::UsageSum) -> Result<Self> {
        let cost = sum.cost_pico.parse().map(|cost| PicoUsdc(Pico(cost)));
        let malformed = |_| -> CliError { explain(&ApiError::Malformed("a sum's cost is no amount".into())) };
        Ok(Self {
            requests: sum.requests,
            input_tokens: sum.input_tokens,
            cached_tokens: sum.cached_tokens,
            cache_write_tokens: sum.cache_write_tokens,
            output_tokens: sum.output_tokens,
            cost_pico: cost.map_err(malformed)?,
        })
    }

    fn cells(&self) -> Vec<String> {
        let counts =
            [self.requests, self.input_tokens, self.cached_tokens, self.cache_write_tokens, self.output_tokens];
        counts.iter().map(ToString::to_string).chain([self.cost_pico.to_string()]).collect()
    }
}

impl Used {
    fn of(key: String, list: UsageList) -> Result<Self> {
        let row = |row: &crate::views::UsageRow| {
            let (day, model, provider) = (row.day.clone(), row.model.clone(), row.provider.clone());
            Ok(Row { day, model, provider, sum: Sum::of(&row.sum)? })
        };
        let rows: Result<Vec<Row>> = list.data.iter().map(row).collect();
        Ok(Self { key, since: list.since, until: list.until, rows: rows?, total: Sum::of(&list.total)? })
    }
}

/// One of a row's names, if rows are told apart by it.
type NameOf = fn(&Row) -> &Option<String>;

impl Report for Used {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        line(out, "key", &self.key)?;
        line(out, "from", show_second(self.since.saturating_mul(1_000)))?;
        line(out, "until", show_second(self.until.saturating_mul(1_000)))?;
        line(out, "cost", format!("{} USDC in {}", self.total.cost_pico, counted(self.total.requests, "answer")))?;
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let columns: [(&str, NameOf); 3] =
            [("day", |row| &row.day), ("model", |row| &row.model), ("provider", |row| &row.provider)];
        let shown: Vec<_> =
            columns.into_iter().filter(|(_, of)| self.rows.iter().any(|row| of(row).is_some())).collect();
        let counts = ["answers", "input", "cached", "written", "output", "USDC"];
        let names: Vec<&str> = shown.iter().map(|(name, _)| *name).chain(counts).collect();
        let cells = |row: &Row| {
            let named = shown.iter().map(|(_, of)| of(row).clone().unwrap_or_default());
            named.chain(row.sum.cells()).collect()
        };
        table(out, &names, &self.rows.iter().map(cells).collect::<Vec<_>>())
    }
}
