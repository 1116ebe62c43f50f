//! The end of a request's money: the bill for what was delivered, and the charge that takes the hold's place.

use crate::relay::decision::Record;
use crate::relay::dialect::Usage;
use crate::relay::failover::Opened;
use crate::relay::job::Job;
use crate::relay::meter::{Bill, Bounds, Own, bill, thinkable};
use crate::relay::stream::End;
use crate::vaults::{ChargeError, Draft};
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::receipt::{CountedBy, FinishReason, SignedReceipt};
use tokio::time::Instant;

impl Job {
    /// Most tokens of reasoning that nobody sees which are believed of an answer that ends now; the client took `waited` of the
    /// time. None where neither the request nor the offer says that there are any.
    pub fn believed_hidden(&self, opened: &Opened, waited: Duration) -> u64 {
        let candidate = &opened.candidate;
        if !self.request.hides_reasoning(candidate.dialect, candidate.offer.capabilities) {
            return 0;
        }
        let speed = self.ranked.iter().find_map(|choice| choice.speed(&candidate.offer.address));
        let seconds = opened.watch.started().elapsed().saturating_sub(waited).as_secs_f64();
        let visible = opened.transcript.counts.delivered.total().tokens;
        speed.map_or(0, |speed| thinkable(speed, seconds, visible, self.plan.choices))
    }

    /// What is charged for what was delivered until `end`, of which at most `hidden` tokens are reasoning that nobody saw.
    pub fn bill(&self, opened: &Opened, end: &End, hidden: u64) -> Bill {
        let Opened { candidate, transcript, .. } = opened;
        let transcript = &transcript.counts;
        let own = Own {
            writes: self.request.caching.writes_within(
                candidate.dialect,
                &candidate.offer.price,
                self.request.controls.max_price.prompt,
            ),
            input: candidate.input,
            delivered: transcript.delivered.total(),
            reasoning: transcript.reasoning.total(),
            calls: transcript.calls(),
            hidden,
        };
        let bounds = Bounds {
            price: candidate.offer.price,
            fee_bps: self.hold.fee_bps(),
            held: self.hold.ceiling(),
            max_output: candidate.max_output.saturating_mul(self.plan.choices),
        };
        match (transcript.usage, end) {
            (claim, End::Complete) => bill(claim, &own, &bounds),
            // Usage that came early says what the prompt was; what was sent since is counted here.
            (Some(early), End::ClientGone | End::OutOfTime | End::ShuttingDown) => {
                let sent = transcript.delivered.total().tokens;
                let bill = bill(Some(Usage { completion: early.completion.max(sent), ..early }), &own, &bounds);
                let counted_by = if sent > early.completion { CountedBy::Relayer } else { bill.counted_by };
                Bill { counted_by, ..bill }
            }
            // What a provider says before it fails says nothing about what was delivered.
            (Some(_), End::Failed { .. }) | (None, _) => bill(None, &own, &bounds),
        }
    }

    /// Turns the hold into a charge, and gives the request's place back.
    pub async fn charge(
        self: Box<Self>,
        opened: Opened,
        response_hash: Hash,
        bill: Bill,
        finish_reason: FinishReason,
        outcome: &'static str,
    ) -> Result<SignedReceipt, ChargeError> {
        let decision = Record::new(&self, &opened.attempts, &opened.order, outcome).to_bytes();
        let Self { node, hold, id, accepted, .. } = *self;
        let vault = hold.vault();
        let offer = opened.candidate.offer;
        let draft = Draft {
            response_hash,
            offer: offer.clone(),
            usage: bill.usage,
            counted_by: bill.counted_by,
            finish_reason,
            started_at_ms: accepted.unix_ms,
            ttft_ms: millis(opened.first_content.duration_since(accepted.at)),
            duration_ms: millis(accepted.at.elapsed()),
            decision,
            id: id.clone(),
        };
        let charged = hold.charge(draft).await;
        drop(accepted.permit);
        let (took, provider, model) = (accepted.at.elapsed(), offer.provider_name.as_str(), offer.model.as_str());
        match &charged {
            Ok(receipt) => {
                node.limits.fees.paid(&vault, receipt.receipt.fee, Instant::now());
                node.metrics.charged(model, &bill.usage, bill.counted_by, bill.total, took);
                tracing::info!(
                    %id, model, provider, status = outcome, attempts = opened.attempts.len(),
                    input = bill.usage.input, cached = bill.usage.cached, output = bill.usage.output,
                    counted_by = bill.counted_by.name(), usd = %bill.total, number = receipt.receipt.number,
                    ms = millis(took), "relayed"
                );
            }
            Err(error) => {
                node.metrics.charge_failed();
                tracing::error!(%id, model, provider, usd = %bill.total, %error, "not charged");
            }
        }
        charged
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
