//! The relayer's process, as a storm starts and ends it.

use super::disk::Image;
use super::relayer::{self, Inside, Site};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// See the module.
pub struct Process {
    site: Arc<Site>,
    task: Option<JoinHandle<Image>>,
    inside: Arc<Mutex<Option<Inside>>>,
}

impl Process {
    pub fn new(site: Arc<Site>) -> Self {
        Self { site, task: None, inside: Arc::default() }
    }

    pub fn start(&mut self, rng: &mut StdRng) {
        let rng = StdRng::seed_from_u64(rng.random());
        self.task = Some(tokio::spawn(relayer::run(self.site.clone(), self.inside.clone(), rng)));
    }

    pub fn is_up(&self) -> bool {
        self.task.is_some()
    }

    /// What is asked of it from outside, once it is at work.
    pub fn inside(&self) -> Option<Inside> {
        self.inside.lock().unwrap().clone()
    }

    /// Ends it between two awaits, and nothing of it is written any more; false if it was down.
    pub async fn crash(&mut self) -> bool {
        let Some(task) = self.task.take() else { return false };
        end_of(task).await;
        *self.inside.lock().unwrap() = None;
        true
    }

    /// Whether it has ended by itself: the power went in the middle of a write.
    ///
    /// # Errors
    /// If it panicked.
    pub async fn is_cut(&mut self) -> Result<bool, String> {
        let Some(task) = self.task.take_if(|task| task.is_finished()) else { return Ok(false) };
        let left = task.await.map_err(|failure| format!("the relayer panicked: {failure}"))?;
        *self.inside.lock().unwrap() = None;
        left.restore(&self.site.ledger);
        Ok(true)
    }

    /// Ends it between two awaits, and its ledger is closed.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            end_of(task).await;
        }
        *self.inside.lock().unwrap() = None;
    }
}

/// Ends a process where it stands.
pub async fn end_of(task: JoinHandle<Image>) {
    task.abort();
    if let Err(failure) = task.await {
        assert!(failure.is_cancelled(), "the relayer panicked: {failure}");
    }
}
