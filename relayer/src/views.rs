//! The JSON forms of the API, once for HTTP, the command line, the page and every other client. Each structure is
//! serialised as its fields stand here, so that a change here is a change of the API.
//!
//! Addresses are base58, hashes hexadecimal, receipts and signatures base64. Amounts are µUSDC unless the name of the field
//! says pico-USDC (`_pico`, a decimal string) or USD. Times are Unix seconds unless the name says milliseconds (`_ms`).

mod allow_list;
mod chain;
mod generation;
mod history;
mod market;
mod operator;
mod receipt;
mod session;
mod solana_pay;
mod status;
mod usage;
mod withdrawal;

pub use crate::relay::dialect::chat::{
    ChatCompletion, ChatCompletionRequest, ChatMessage, ChatUsage, MaxPrice, ProviderControls,
};
pub use crate::relay::dialect::completions::schema::{TextCompletion, TextCompletionRequest};
pub use crate::relay::dialect::embeddings::schema::{Embeddings, EmbeddingsRequest, EmbeddingsUsage};
pub use crate::relay::dialect::messages::schema::{
    Message, MessageUsage, MessagesModel, MessagesModelList, MessagesRequest, TokenCount,
};
pub use crate::relay::dialect::openai::{ErrorBody, ErrorDetail};
pub use crate::relay::dialect::responses::schema::{
    ModelResponse, ResponseTokenCount, ResponseUsage, ResponsesRequest,
};
pub use crate::vaults::{KeyView, VaultView};
pub use allow_list::{AllowListRequest, AllowListView};
pub use chain::{
    AccountView, BlockhashView, ChainView, FaucetGrantView, FaucetRequest, SentTransactionView, SignedTransaction,
    SponsorView, SponsoredRequest, SponsoredView, TransactionProgressView, TransactionStatus,
};
pub use generation::{Generation, GenerationFigures, PICO_PER_USD};
pub use history::{MarketHistory, OfferHistoryView, PricePoint};
pub use market::{
    Architecture, BoardView, ModelList, ModelView, OfferView, PriceComponents, PriceView, Pricing, ProviderList,
    ProviderView, RelayerView, TopProvider, blended_usd,
};
pub use operator::{FeesOfDay, IncidentView, OperatorView};
pub use receipt::{CountedByView, FinishReasonView, ReceiptDocument, ReceiptFields, ReceiptProof, UsageView};
pub use session::{EndedSession, SessionRequest, SessionView, SignInRequest, SignInView};
pub use solana_pay::{
    PayAccount, PayLabelView, PayOpeningRequest, PayOpeningSignature, PayOpeningTransactionView, PayOpeningView,
    PayTransactionView,
};
pub use status::{Health, Readiness};
pub use usage::{
    Credits, CreditsFigures, KeyRateLimit, KeyUsage, KeyUsageFigures, ListedReceipt, PaidReceiptList, ReceiptList,
    UsageList, UsageRow, UsageSum,
};
pub use withdrawal::{WholeBalance, WithdrawalAmount, WithdrawalTransaction, WithdrawalView};

use crate::chain::Pubkey;

/// The kind of a list, as OpenAI names it.
pub(crate) const LIST: &str = "list";

/// An address in base58.
fn base58(address: &[u8; 32]) -> String {
    Pubkey::new_from_array(*address).to_string()
}
