//! The board in the database: what changed is written once a minute, in small jobs that charges wait for only briefly.

use super::extent::{Extent, Span};
use super::honesty::Dossier;
use super::prices::PostedPrice;
use super::window::{Slot, Window};
use super::{Board, Entry, seconds};
use crate::chain::Pubkey;
use crate::clock::Clock;
use crate::ledger::{BOARD_SPANS, BoardRow, Ledger, LedgerError};
use crate::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Pause between two writes: a crash loses at most this.
const INTERVAL: Duration = Duration::from_secs(60);
/// Rows written in one job.
const ROWS: usize = 128;

/// What slots of each number in the database reach back: the windows, the histories, and the prices.
pub(super) fn extents() -> [Extent; BOARD_SPANS] {
    let ([minutes5, hour, hours72], [day, week]) = (Window::ALL.map(Window::extent), Span::ALL.map(Span::extent));
    [minutes5, hour, hours72, day, week, Span::Week.extent()]
}

/// The number of the first history, and of the prices.
const HISTORIES: usize = Window::ALL.len();
const PRICES: u8 = BOARD_SPANS as u8 - 1;

/// Notes the prices of `registry` and writes the board once a minute until `stop`, and a last time then.
pub async fn keep(
    board: Arc<Board>,
    registry: watch::Receiver<Arc<Registry>>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    board.note_prices(&registry.borrow().clone(), clock.unix_ms());
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        board.note_prices(&registry.borrow().clone(), clock.unix_ms());
        if let Err(error) = save(&board, &ledger, clock.unix_ms()).await {
            // The next write tries again. Failing charges tell the operator that the disk is at fault.
            tracing::warn!(%error, "the board could not be written");
        }
        if stopped {
            return;
        }
    }
}

/// Writes what changed, and deletes what is too old for any window.
pub(super) async fn save(board: &Board, ledger: &Ledger, now_ms: i64) -> Result<(), LedgerError> {
    let mut rows = board.take_unsaved();
    let now = seconds(now_ms);
    let oldest = extents().map(|extent| extent.oldest(now));
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS));
        if let Err(error) = ledger.save_board(rows.clone()).await {
            board.not_saved(rows.iter().chain(&rest));
            return Err(error);
        }
        rows = rest;
    }
    ledger.forget_board(oldest).await
}

/// Reads the board from the database. A row that cannot be read is left out and reported: figures are not money.
///
/// # Errors
/// [`LedgerError::Database`].
pub async fn restore(board: &Board, ledger: &Ledger, now_ms: i64) -> Result<(), LedgerError> {
    let now = seconds(now_ms);
    let oldest = extents().map(|extent| extent.oldest(now));
    let rows = ledger.load_board().await?;
    let unreadable = rows.into_iter().filter(|row| !board.take_row(row, &oldest, now_ms)).count();
    if unreadable > 0 {
        tracing::warn!(unreadable, "rows of the board cannot be read and are left out");
    }
    Ok(())
}

impl Board {
    fn take_unsaved(&self) -> Vec<BoardRow> {
        let mut state = self.lock();
        let mut rows = Vec::new();
        for (offer, entry) in &mut state.entries {
            for (window, slots) in (0..).zip(entry.slots()) {
                let changed = slots.take_unsaved();
                rows.extend(changed.map(|(start, slot)| BoardRow::Slot {
                    offer: offer.to_bytes(),
                    window,
                    start,
                    data: bytes(&slot),
                }));
            }
            if std::mem::take(&mut entry.dossier_unsaved) {
                let data = entry.dossier.matters().then(|| bytes(&entry.dossier));
                rows.push(BoardRow::Dossier { offer: offer.to_bytes(), data });
            }
        }
        rows.extend(state.prices.take_unsaved().map(|(offer, start, price)| BoardRow::Slot {
            offer: offer.to_bytes(),
            window: PRICES,
            start,
            data: bytes(&price),
        }));
        rows
    }

    fn not_saved<'a>(&self, rows: impl Iterator<Item = &'a BoardRow>) {
        let mut state = self.lock();
        for row in rows {
            match row {
                BoardRow::Slot { offer, window: PRICES, start, .. } => {
                    state.prices.not_saved(&Pubkey::new_from_array(*offer), *start);
                }
                BoardRow::Slot { offer, window, start, .. } => {
                    if let Some(entry) = state.entries.get_mut(&Pubkey::new_from_array(*offer))
                        && let Some(slots) = entry.slots().nth(usize::from(*window))
                    {
                        slots.not_saved(*start);
                    }
                }
                BoardRow::Dossier { offer, .. } => {
                    if let Some(entry) = state.entries.get_mut(&Pubkey::new_from_array(*offer)) {
                        entry.dossier_unsaved = true;
                    }
                }
            }
        }
    }

    /// Restores a row. Returns whether it can be read; a row that is too old is dropped.
    fn take_row(&self, row: &BoardRow, oldest: &[i64; BOARD_SPANS], now_ms: i64) -> bool {
        let mut state = self.lock();
        match row {
            BoardRow::Slot { offer, window: PRICES, start, data } => {
                let Ok(price) = borsh::from_slice::<PostedPrice>(data) else { return false };
                state.prices.restore(&Pubkey::new_from_array(*offer), *start, price);
            }
            BoardRow::Slot { offer, window, start, data } => {
                let window = usize::from(*window);
                let (Ok(slot), Some(oldest)) = (borsh::from_slice::<Slot>(data), oldest.get(window)) else {
                    return false;
                };
                if start >= oldest {
                    let entry = restored(&mut state, offer, start.saturating_mul(1_000).min(now_ms));
                    match window.checked_sub(HISTORIES) {
                        None => entry.windows[window].restore(*start, slot),
                        Some(span) => entry.histories[span].restore(*start, slot, seconds(now_ms)),
                    }
                }
            }
            BoardRow::Dossier { offer, data } => {
                let Some(dossier) = data.as_deref().and_then(|data| borsh::from_slice::<Dossier>(data).ok()) else {
                    return false;
                };
                restored(&mut state, offer, i64::MIN).dossier = dossier;
            }
        }
        true
    }
}

fn restored<'a>(state: &'a mut super::State, offer: &[u8; 32], heard_ms: i64) -> &'a mut Entry {
    let entry = state.entry(&Pubkey::new_from_array(*offer), heard_ms);
    entry.heard_ms = entry.heard_ms.max(heard_ms);
    entry
}

fn bytes(value: &impl borsh::BorshSerialize) -> Vec<u8> {
    #[expect(clippy::unwrap_used, reason = "writing to a Vec cannot fail")]
    borsh::to_vec(value).unwrap()
}
