//! What clients and owners ask of a replica, and what replicas ask of each other for them.

use super::super::clients::{self, Client, Outcome, Wish};
use super::super::owners;
use super::super::relayer::Site;
use super::PARTITIONS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steam::app::seat::Seat;
use steam::ledger::partitions::partition_of;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// A request that a replica has sent on.
pub struct Errand {
    partition: u16,
    wish: Wish,
    answer: oneshot::Sender<Answer>,
}

enum Answer {
    Done(Outcome),
    /// It is not held there.
    NotTaken(Box<Wish>),
}

/// Where replicas take what others have sent on, by their addresses.
pub type Post = Arc<Mutex<BTreeMap<String, mpsc::UnboundedSender<Errand>>>>;

/// What a replica serves.
#[derive(Clone)]
pub struct Served {
    pub site: Arc<Site>,
    pub seat: Arc<Seat>,
    pub post: Post,
}

fn partition(client: &Mutex<Client>) -> u16 {
    partition_of(client.lock().unwrap().vault.as_array(), PARTITIONS)
}

/// Has everybody ask, until the runtime ends.
pub fn begin(served: &Served, mut errands: mpsc::UnboundedReceiver<Errand>, rng: &mut StdRng) {
    for client in &served.site.clients {
        for lane in 0..served.site.at_once {
            let (served, client) = (served.clone(), client.clone());
            tokio::spawn(served.lane(client, lane, StdRng::seed_from_u64(rng.random())));
        }
    }
    tokio::spawn(served.clone().owners(StdRng::seed_from_u64(rng.random())));
    let (served, mut rng) = (served.clone(), StdRng::seed_from_u64(rng.random()));
    tokio::spawn(async move {
        while let Some(errand) = errands.recv().await {
            tokio::spawn(served.clone().run(errand, StdRng::seed_from_u64(rng.random())));
        }
    });
}

impl Served {
    async fn lane(self, client: Arc<Mutex<Client>>, lane: usize, mut rng: StdRng) {
        loop {
            let (least, most) = self.site.pace.request_ms;
            sleep(Duration::from_millis(rng.random_range(least..most))).await;
            self.resolve(&client).await;
            let registry = self.seat.shared().registry.clone();
            if *self.site.busy.lock().unwrap()
                && let Some(wish) = Wish::draw((&client, lane), &self.site, &registry, &mut rng)
            {
                let hash = wish.hash;
                let outcome = self.reach(partition(&client), wish, &mut rng).await;
                let lost = || Outcome::Unknown("the connection to the holder was lost".into());
                clients::hear(&client, &hash, outcome.unwrap_or_else(lost), &self.site);
            }
        }
    }

    /// Asks whoever holds the vault, if it is held here, what became of requests whose answer never came.
    async fn resolve(&self, client: &Mutex<Client>) {
        let lost = client.lock().unwrap().lost();
        for hash in lost {
            let Some(node) = self.seat.held().get(partition(client)) else { return };
            match node.ledger.receipt(&clients::id(&hash)).await {
                Ok(found) if client.lock().unwrap().lost().contains(&hash) => {
                    client.lock().unwrap().resolve(&hash, found);
                }
                Ok(_) => {}
                Err(error) => self.site.trace.add(&format!("nobody can tell: {error}")),
            }
        }
    }

    /// Has whoever holds the partition serve a request; none if that one was lost while it had it.
    async fn reach(&self, partition: u16, mut wish: Wish, rng: &mut StdRng) -> Option<Outcome> {
        let until = Instant::now() + self.seat.shared().config.replicas.wait();
        loop {
            if let Some(node) = self.seat.held().get(partition) {
                let _under_way = node.tasks.token();
                return Some(wish.serve(&self.site, &node.vaults, rng, &node.ending).await);
            }
            if let Some(address) = self.seat.elsewhere(partition) {
                let (answer, answered) = oneshot::channel();
                let errand = Errand { partition, wish, answer };
                let there = self.post.lock().unwrap().get(&address).cloned();
                let refused = match there {
                    Some(there) => there.send(errand).err().map(|refused| refused.0),
                    None => Some(errand),
                };
                wish = match refused {
                    Some(errand) => errand.wish,
                    None => tokio::select! {
                        answered = answered => match answered {
                            Ok(Answer::Done(outcome)) => return Some(outcome),
                            Ok(Answer::NotTaken(wish)) => *wish,
                            Err(_) => return None,
                        },
                        () = self.seat.gone(&address) => return None,
                    },
                };
            }
            if Instant::now() >= until {
                return Some(Outcome::Refused("the vault moves".into()));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Serves what another replica has sent on, and sends it nowhere.
    async fn run(self, Errand { partition, wish, answer }: Errand, mut rng: StdRng) {
        let done = match self.seat.held().get(partition) {
            Some(node) => {
                let _under_way = node.tasks.token();
                Answer::Done(wish.serve(&self.site, &node.vaults, &mut rng, &node.ending).await)
            }
            None => Answer::NotTaken(Box::new(wish)),
        };
        let _ = answer.send(done); // whoever asked may have gone
    }

    /// Owners who withdraw at once.
    async fn owners(self, mut rng: StdRng) {
        loop {
            sleep(Duration::from_millis(rng.random_range(1_000..15_000))).await;
            let at = rng.random_range(0..self.site.clients.len());
            if self.site.owners_leave
                && *self.site.busy.lock().unwrap()
                && let Some(node) = self.seat.held().get(partition(&self.site.clients[at]))
            {
                owners::withdraw_from(at, &self.site, (&node.vaults, &node.withdrawals), &mut rng).await;
            }
        }
    }
}
