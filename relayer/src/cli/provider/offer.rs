//! `steam provider offer`: post a price for a model, or for many from a file. A fall holds at once, a rise after the notice.

use super::price_file::{self, Listed};
use super::stated::Stated;
use crate::chain::Pubkey;
use crate::cli::amount::{price, show_span, show_tariff};
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse::{offered_model, tokens};
use crate::cli::price::ShownTariff;
use crate::cli::sending::Sending;
use crate::cli::session::{Session, until};
use crate::cli::solana::Global;
use crate::cli::wallet::Wallet;
use crate::cli::wallet::sent::Sent;
use crate::{addresses, instructions};
use anchor_lang::prelude::Clock;
use anchor_lang::solana_program::instruction::Instruction;
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use steam_protocol::capability;
use steam_protocol::units::Tariff;
use steam_router::state::{Deadline, Offer as OfferAccount, OfferTerms, PricePoint, Provider};

/// Offer a model at a price, change it, or stop
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Posting again replaces price and limits: a lower price holds at once, a higher one after the notice period.\n\n\
        A file of many models is read whole before anything is posted. In TOML each model is a table [[offer]] whose members are \
        named as the flags are: model, price_input, price_output, context, long_from and so on."
)]
pub struct Offer {
    /// The model's name; with --from it may be repeated, and chooses from the file [default with --from: all of them]
    #[arg(long, value_name = "MODEL", value_parser = offered_model, required_unless_present = "from")]
    pub model: Vec<String>,
    /// Offer the models of a file: TOML, LiteLLM's list of prices or OpenRouter's /models as JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["price_input", "price_cached", "price_cache_write", "price_cache_write_long", "price_output", "price_request", "long_from", "context", "max_output", "capability", "quantization", "retire", "sign_only", "signer"])]
    pub from: Option<PathBuf>,
    /// Price of input, in USD per million tokens, like 0.25
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, required_unless_present_any = ["retire", "from"])]
    pub price_input: Option<u64>,
    /// Price of input served from the cache, in USD per million tokens [default: that of input]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub price_cached: Option<u64>,
    /// Price of input written to the cache, in USD per million tokens [default: that of input]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub price_cache_write: Option<u64>,
    /// Price of input written to the cache for the longer lifetime, in USD per million tokens [default: that of --price-cache-write]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true)]
    pub price_cache_write_long: Option<u64>,
    /// Price of output, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, required_unless_present_any = ["retire", "from"])]
    pub price_output: Option<u64>,
    /// Flat price of a request, in USD
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, default_value = "0")]
    pub price_request: u64,
    /// The prices of requests with long prompts, if they differ
    #[command(flatten)]
    pub long: LongPrice,
    /// Most tokens of prompt and answer together
    #[arg(long, value_name = "TOKENS", value_parser = tokens, allow_negative_numbers = true, required_unless_present_any = ["retire", "from"])]
    pub context: Option<u32>,
    /// Most tokens of an answer [default: --context]
    #[arg(long, value_name = "TOKENS", value_parser = tokens, allow_negative_numbers = true)]
    pub max_output: Option<u32>,
    /// What it can do; may be repeated or separated by commas
    #[arg(long, value_name = "CAPABILITY", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(capability::NAMES.map(|(name, _)| name)), default_value = "streaming")]
    pub capability: Vec<String>,
    /// How the weights are quantized
    #[arg(long, value_name = "QUANTIZATION", value_parser = clap::builder::PossibleValuesParser::new(capability::QUANTIZATIONS), default_value = "unknown")]
    pub quantization: String,
    /// Stop serving the model; what was served still settles for a grace
    #[arg(long, conflicts_with_all = ["price_input", "price_cached", "price_output", "price_request", "context", "max_output", "price_cache_write", "price_cache_write_long", "long_from", "long_price_input", "long_price_cached", "long_price_cache_write", "long_price_cache_write_long", "long_price_output", "long_price_request", "capability", "quantization"])]
    pub retire: bool,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// The prices of requests with long prompts.
#[derive(Debug, Clone, clap::Args)]
pub struct LongPrice {
    /// Tokens of a prompt above which all of the request costs the prices of long prompts
    #[arg(long, value_name = "TOKENS", value_parser = tokens, allow_negative_numbers = true, requires_all = ["long_price_input", "long_price_output"])]
    pub long_from: Option<u32>,
    /// Price of input of long prompts, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, requires = "long_from")]
    pub long_price_input: Option<u64>,
    /// Price of input served from the cache, of long prompts [default: --price-cached, or that of their input]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, requires = "long_from")]
    pub long_price_cached: Option<u64>,
    /// Price of input written to the cache, of long prompts [default: --price-cache-write, or that of their input]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, requires = "long_from")]
    pub long_price_cache_write: Option<u64>,
    /// Price of input written to the cache for the longer lifetime, of long prompts [default: --price-cache-write-long, or that of their shorter lifetime]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, requires = "long_from")]
    pub long_price_cache_write_long: Option<u64>,
    /// Price of output of long prompts, in USD per million tokens
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, requires = "long_from")]
    pub long_price_output: Option<u64>,
    /// Flat price of a request with a long prompt, in USD [default: that of other requests]
    #[arg(long, value_name = "USD", value_parser = price, allow_negative_numbers = true, requires = "long_from")]
    pub long_price_request: Option<u64>,
}

impl LongPrice {
    /// The prices of all prompts, given those of prompts that are not long.
    fn beside(&self, standard: Stated) -> Tariff {
        let (Some(long_from), Some(input), Some(output)) =
            (self.long_from, self.long_price_input, self.long_price_output)
        else {
            return standard.price().into();
        };
        let long = Stated {
            input,
            cached: self.long_price_cached,
            cache_write: self.long_price_cache_write,
            cache_write_long: self.long_price_cache_write_long,
            output,
            request: self.long_price_request,
        };
        Tariff { standard: standard.price(), long_from, long: long.long_beside(&standard) }
    }
}

#[derive(Serialize)]
struct Offered {
    status: &'static str,
    offer: String,
    provider: String,
    model: String,
    version: u32,
    seconds_left: i64,
    /// µUSDC per million tokens, and per request.
    #[serde(rename = "price")]
    view: ShownTariff,
    #[serde(skip)]
    price: Tariff,
    #[serde(flatten)]
    signature: Sent,
}

/// The price in force, and until when the one before it settles.
pub(super) fn in_force<'a>(offer: &'a OfferAccount, clock: &Clock) -> (&'a PricePoint, &'a Deadline) {
    if offer.next.version != 0 && offer.next.from.passed(clock) {
        (&offer.next, &offer.current_until)
    } else {
        (&offer.current, &offer.previous_until)
    }
}

/// The offers of a file.
#[derive(Serialize)]
struct Posted {
    offers: Vec<Offered>,
}

/// Who posts, and through what.
struct Poster<'a> {
    session: &'a Session,
    wallet: &'a Wallet,
    provider: Pubkey,
}

impl Offer {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let listed = match &self.from {
            Some(path) => price_file::read(path, &self.model)?,
            None => Vec::new(),
        };
        if self.from.is_none() && self.model.len() > 1 {
            return Err(CliError::usage("--model names one model").next("with --from it may be repeated"));
        }
        let terms = self.terms()?;
        let wallet = self.sending.wallet(global)?;
        if let (false, [model]) = (self.from.is_some(), &self.model[..])
            && wallet.print_without_node(&[step(&wallet, model, terms)])?
        {
            return Ok(());
        }
        let session = Session::open(global).await?;
        let provider = addresses::provider(&wallet.address());
        let _: Provider = session.need(&provider, "provider").await?;
        let poster = Poster { session: &session, wallet: &wallet, provider };
        if self.from.is_some() {
            return global.output.print(&Posted { offers: poster.post_all(listed, global).await? });
        }
        for model in self.model {
            let done = match terms {
                Some(terms) => poster.post(model, terms).await?,
                None => poster.retire(model).await?,
            };
            done.map_or(Ok(()), |done| global.output.print(&done))?;
        }
        Ok(())
    }

    /// The terms; nothing to retire.
    fn terms(&self) -> Result<Option<OfferTerms>> {
        let (Some(input), Some(output), Some(context)) = (self.price_input, self.price_output, self.context) else {
            return Ok(None);
        };
        let standard = Stated {
            input,
            cached: self.price_cached,
            cache_write: self.price_cache_write,
            cache_write_long: self.price_cache_write_long,
            output,
            request: Some(self.price_request),
        };
        let tariff = self.long.beside(standard);
        check(&tariff)?;
        let output_limit = self.max_output.unwrap_or(context);
        if output_limit > context {
            return Err(CliError::usage("--max-output must not be above --context")
                .next("the context holds prompt and answer together"));
        }
        let named = capability::NAMES.iter().filter(|(name, _)| self.capability.iter().any(|wanted| wanted == name));
        let bits = named.fold(0, |bits, (_, bit)| bits | bit);
        let capabilities = capability::with_quantization(bits, &self.quantization)
            .ok_or_else(|| CliError::usage(format!("{} is no quantization", self.quantization)))?;
        Ok(Some(OfferTerms {
            price: tariff.standard.into(),
            long_from: tariff.long_from,
            long_price: tariff.long.into(),
            context_limit: context,
            output_limit,
            capabilities,
        }))
    }
}

/// Offers a model at terms, or retires it.
fn step(wallet: &Wallet, model: &str, terms: Option<OfferTerms>) -> Instruction {
    match terms {
        Some(terms) => instructions::put_offer(&wallet.address(), &wallet.payer(), model, terms),
        None => instructions::retire_offer(&wallet.address(), model),
    }
}

impl Poster<'_> {
    /// Posts each offer in turn.
    async fn post_all(&self, listed: Vec<Listed>, global: &Global) -> Result<Vec<Offered>> {
        let all = listed.len();
        let mut posted = Vec::with_capacity(all);
        for Listed { model, terms, without } in listed {
            if !without.is_empty() {
                global.output.progress(&format!("{model}: an offer has no price for {}", without.join(", ")));
            }
            let offered = self.post(model, terms).await.map_err(|error| error.note(&before(&posted, all)))?;
            if let Some(offered) = offered {
                global.output.line(&offered.row())?;
                posted.push(offered);
            }
        }
        Ok(posted)
    }

    async fn post(&self, model: String, terms: OfferTerms) -> Result<Option<Offered>> {
        let step = step(self.wallet, &model, Some(terms));
        let Some(signature) = self.wallet.send(&self.session.rpc, &[step], None).await? else { return Ok(None) };
        let (offer, clock) = self.read_back(&model).await?;
        let (status, point, seconds_left) = if offer.next.version != 0 && !offer.next.from.passed(&clock) {
            ("announced", &offer.next, until(&offer.next.from, &clock))
        } else {
            ("in force", in_force(&offer, &clock).0, 0)
        };
        Ok(Some(self.offered(model, status, (point, seconds_left), signature)))
    }

    async fn retire(&self, model: String) -> Result<Option<Offered>> {
        let address = addresses::offer(&self.provider, &model);
        if self.session.find_pod::<OfferAccount>(&address).await?.is_none() {
            return Err(CliError::new("no_offer", format!("this provider has no offer of {model}"))
                .next("`steam provider status` shows its offers"));
        }
        let step = step(self.wallet, &model, None);
        let Some(signature) = self.wallet.send(&self.session.rpc, &[step], None).await? else { return Ok(None) };
        let (offer, clock) = self.read_back(&model).await?;
        let point = (in_force(&offer, &clock).0, until(&offer.settle_until, &clock));
        Ok(Some(self.offered(model, "retired", point, signature)))
    }

    async fn read_back(&self, model: &str) -> Result<(OfferAccount, Clock)> {
        let offer = self.session.find_pod(&addresses::offer(&self.provider, model)).await?;
        let offer = offer.ok_or_else(|| {
            CliError::new("no_offer", "the offer cannot be read back").next("see `steam provider status`")
        })?;
        Ok((offer, self.session.clock().await?))
    }

    fn offered(
        &self,
        model: String,
        status: &'static str,
        (point, seconds_left): (&PricePoint, i64),
        signature: Sent,
    ) -> Offered {
        Offered {
            status,
            offer: addresses::offer(&self.provider, &model).to_string(),
            provider: self.provider.to_string(),
            model,
            version: point.version,
            seconds_left,
            view: (&point.tariff()).into(),
            price: point.tariff(),
            signature,
        }
    }
}

/// What is posted already where one of `all` offers failed: programs are told nothing else of it.
fn before(posted: &[Offered], all: usize) -> String {
    let done = posted.len();
    let names: Vec<String> = posted.iter().map(|one| format!("{} by {}", one.model, one.signature)).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    format!("{done} of {all} offers were posted before it, and are left as they are by another run{names}")
}

/// Refuses prices that the program would refuse.
fn check(tariff: &Tariff) -> Result<()> {
    let Tariff { standard, long_from, long } = tariff;
    if standard.cached > standard.input {
        return Err(CliError::usage("--price-cached must not be above --price-input")
            .next("cached input never costs more than other input"));
    }
    if *long_from == 0 {
        return Ok(());
    }
    if long.cached > long.input {
        return Err(CliError::usage("--long-price-cached must not be above --long-price-input")
            .next("cached input never costs more than other input"));
    }
    let names = ["input", "cached", "cache-write", "cache-write-long", "output", "request"];
    let below = standard.components().into_iter().zip(long.components()).zip(names);
    match below.into_iter().find(|((standard, long), _)| long < standard) {
        Some((_, name)) => Err(CliError::usage(format!("--long-price-{name} must not be below --price-{name}"))
            .next("a long prompt never costs less than another; without --long-from all prompts cost the same")),
        None => Ok(()),
    }
}

impl Report for Posted {
    /// Each was told as it was posted.
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let count = self.offers.len();
        writeln!(out, "{count} {}.", if count == 1 { "offer is posted" } else { "offers are posted" })
    }
}

impl Offered {
    /// In one line.
    fn row(&self) -> String {
        let holds = match self.status {
            "announced" => format!("holds in {}", show_span(self.seconds_left)),
            status => status.to_owned(),
        };
        format!("{:<15} {} ({holds}, version {})", self.model, show_tariff(&self.price), self.version)
    }
}

impl Report for Offered {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let left = show_span(self.seconds_left);
        match self.status {
            "retired" => {
                writeln!(out, "{} is not offered any more; what was served settles for another {left}.", self.model)?
            }
            "announced" => writeln!(out, "{}: a higher price needs notice, and holds in {left}.", self.model)?,
            _ => writeln!(out, "{} is offered at this price.", self.model)?,
        }
        line(out, "offer", &self.offer)?;
        line(out, "price", format!("{} (USD per million tokens, version {})", show_tariff(&self.price), self.version))?;
        line(out, "transaction", &self.signature)
    }
}
