//! What a conversation needs before its first request: the key as it stands on chain, and a model.

use super::Chat;
use super::ask::Talk;
use crate::cli::error::{CliError, Result};
use crate::cli::relayer_api::{self, RelayerApi};
use crate::cli::solana::Global;

/// Prepares a conversation.
pub async fn talk(chat: &mut Chat, global: &Global) -> Result<Talk> {
    let account = chat.at.open(global).await?;
    let client = account.client(&chat.spending)?;
    let model = match &chat.model {
        Some(model) => model.clone(),
        None => only_model(&account.api).await?,
    };
    Ok(Talk {
        client,
        session: account.session,
        model,
        max_tokens: chat.max_tokens,
        max_cost: chat.spending.max_cost,
        bearer: chat.bearer,
        route: std::mem::take(&mut chat.route),
    })
}

async fn only_model(api: &RelayerApi) -> Result<String> {
    let names = api.models().await.map_err(|error| {
        relayer_api::explain(&error).next("name a model with --model, or another relayer with --endpoint")
    })?;
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(CliError::new("no_model", "the relayer has no model to offer now")
            .next("try again later; `steam provider status` shows a provider's offers")),
        many => Err(CliError::new("which_model", format!("the relayer offers {}", many.join(", ")))
            .next("say which with --model")),
    }
}
