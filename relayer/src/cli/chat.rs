//! `steam chat`: talk to a model. The key signs each request here and never leaves; the receipt is verified before its
//! cost is believed.

mod ask;
mod route;
mod setup;

use super::account::{KeyAt, Spending};
use super::error::{CliError, Result};
use super::output::Format;
use super::parse::{model, tokens};
use super::solana::Global;
use crate::relay::dialect::chat::question::message;
use ask::Talk;
use route::Route;
use std::io::{BufRead, IsTerminal, Read, Write};

/// Longest prompt read from standard input.
const MAX_PROMPT: u64 = 4 << 20;

/// Talk to a model
#[derive(Debug, clap::Args)]
#[command(after_help = "Without PROMPT, what is piped in is the prompt; at a terminal, a conversation starts.")]
pub struct Chat {
    /// What to say
    #[arg(value_name = "PROMPT")]
    pub prompt: Option<String>,
    /// The model [default: the relayer's only one]
    #[arg(short, long, value_name = "MODEL", value_parser = model, env = "STEAM_MODEL")]
    pub model: Option<String>,
    /// What the model is told before
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "TOKENS", value_parser = tokens, allow_negative_numbers = true, default_value_t = 1024)]
    pub max_tokens: u32,
    /// Send the key as a bearer token instead of signing: the relayer can then spend what its limits leave
    #[arg(long)]
    pub bearer: bool,
    /// Who may answer.
    #[command(flatten)]
    pub route: Route,
    /// What the key may spend.
    #[command(flatten)]
    pub spending: Spending,
    /// Which key, at which relayer.
    #[command(flatten)]
    pub at: KeyAt,
}

impl Chat {
    pub async fn run(mut self, global: &Global) -> Result<()> {
        let talk = setup::talk(&mut self, global).await?;
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(message("system", system));
        }
        let terminal = std::io::stdin().is_terminal();
        let prompt = match self.prompt {
            Some(prompt) => Some(prompt),
            None if terminal => None,
            None => Some(piped()?),
        };
        match prompt {
            Some(prompt) => {
                messages.push(message("user", &prompt));
                let answer = talk.ask(&messages, global.output).await?;
                if global.output == Format::Json { global.output.print(&answer) } else { answer.summary(global.output) }
            }
            None => converse(&talk, messages, global.output).await,
        }
    }
}

/// A conversation at the terminal, to its end of input.
async fn converse(talk: &Talk, mut messages: Vec<serde_json::Value>, output: Format) -> Result<()> {
    output.progress(&format!("Talking to {}. Ctrl-D ends.", talk.model));
    loop {
        let Some(line) = next_line().await? else { return Ok(()) };
        if line.trim().is_empty() {
            continue;
        }
        messages.push(message("user", &line));
        let answer = talk.ask(&messages, output).await?;
        if output == Format::Json {
            output.print(&answer)?;
        } else {
            answer.summary(output)?;
        }
        messages.push(message("assistant", &answer.text));
    }
}

async fn next_line() -> Result<Option<String>> {
    let read = tokio::task::spawn_blocking(|| {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "> ").and_then(|()| stderr.flush());
        drop(stderr);
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|read| (read > 0).then_some(line))
    });
    match read.await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(error)) => Err(input_failed(&error)),
        Err(_) => Ok(None),
    }
}

fn piped() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(MAX_PROMPT).read_to_string(&mut text).map_err(|error| input_failed(&error))?;
    if text.trim().is_empty() {
        return Err(CliError::usage("there is nothing to say: PROMPT is missing and standard input is empty")
            .next("give a prompt, as in `steam chat \"Hello\"`"));
    }
    Ok(text)
}

fn input_failed(error: &std::io::Error) -> CliError {
    CliError::new("input", format!("cannot read the prompt from standard input: {error}"))
        .next("give a prompt of text, as in `steam chat \"Hello\"`")
}
