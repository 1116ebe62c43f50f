//! The API over real sockets: a relayer, its ledger, and providers that misbehave.

mod allow_lists;
mod api;
mod bounds;
mod cache_writes;
mod chain;
mod completions;
mod controls;
mod embeddings;
mod failover;
mod hedging;
mod honesty;
mod identity;
mod ledger_down;
mod limits;
mod messages;
mod misbehaviour;
mod money;
mod page;
mod pages;
mod responses;
mod shaped;
mod stated;
mod sticky;
mod streams;
mod usage;
mod withdrawals;
