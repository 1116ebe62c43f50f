//! Settlement against nodes that lag, lie or refuse.

use super::resolve::{Observation, Verdict};
use super::*;
use crate::chain::VaultSnapshot;
use crate::chain::rpc::{ChainAccount, Rehearsal, RpcError, Simulation, TransactionState};
use crate::clock::SystemClock;
use crate::config::TransactionVersion;
use crate::ledger::{Attempt, Batch, SealedGroup};
use crate::relay::testing::mock::good;
use crate::relay::testing::world::{World, snapshot};
use crate::relay::testing::{NOW, VAULT};
use crate::settle::agreed::{self, Told};
use crate::settle::form;
use anchor_lang::{Discriminator, Owner};
use anchor_spl::associated_token::get_associated_token_address;
use async_trait::async_trait;
use serde_json::json;
use solana_signature::Signature;
use solana_signer::Signer as _;
use std::sync::Mutex;
use std::time::Duration;
use steam_protocol::Hash;
use steam_protocol::units::MicroUsdc;
use steam_router::error::SteamError;
use steam_router::state::Vault;

/// What a node says.
#[derive(Clone)]
struct Said {
    head: (u32, Hash),
    /// None: the vault is closed.
    generation: Option<u64>,
    balance: u64,
    height: u64,
    simulation: Simulation,
    /// What it says of a transaction of version 1, if it is something else.
    version_1: Option<Result<Simulation, RpcError>>,
    /// Of recent slots.
    fees: Vec<u64>,
    /// The settler's.
    lamports: u64,
    /// It answers nothing but errors.
    down: bool,
    /// It never answers.
    silent: bool,
    sent: usize,
    /// The last transaction it was sent.
    last: Vec<u8>,
    /// Does not tell the height.
    no_height: bool,
    /// Blocks that pass whenever it tells a blockhash.
    blocks_a_hash: u64,
    /// How often it was asked for statuses.
    statuses: usize,
    /// What it says of every transaction.
    state: Option<TransactionState>,
}

struct Node(Mutex<Said>);

impl Node {
    fn new() -> Arc<Self> {
        let simulation = Simulation::Succeeds { units: 30_000 };
        Arc::new(Self(Mutex::new(Said {
            head: (0, [0; 32]),
            generation: Some(7),
            balance: 1,
            height: 10,
            simulation,
            version_1: None,
            fees: Vec::new(),
            lamports: 10_000_000_000,
            down: false,
            silent: false,
            sent: 0,
            last: Vec::new(),
            no_height: false,
            blocks_a_hash: 0,
            statuses: 0,
            state: None,
        })))
    }

    /// What every call goes through.
    async fn answer(&self) -> Result<(), RpcError> {
        let (down, silent) = {
            let said = self.0.lock().unwrap();
            (said.down, said.silent)
        };
        if silent {
            std::future::pending::<()>().await;
        }
        if down { Err(RpcError::Node("cannot connect".into())) } else { Ok(()) }
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.0.lock().unwrap());
    }

    fn sent(&self) -> usize {
        self.0.lock().unwrap().sent
    }

    /// Whether the last transaction it was sent is of version 1.
    fn was_sent_v1(&self) -> bool {
        form::is_v1(&self.0.lock().unwrap().last)
    }

    fn vault(&self) -> Option<ChainAccount> {
        let said = self.0.lock().unwrap();
        let mut vault: Vault = bytemuck::Zeroable::zeroed();
        (vault.relayer, vault.generation) = (parties().relayer, said.generation?);
        (vault.settle_seq, vault.settle_hash) = said.head;
        let data = [Vault::DISCRIMINATOR, bytemuck::bytes_of(&vault)].concat();
        Some(ChainAccount { lamports: 1, owner: Vault::owner(), data })
    }

    fn token(&self) -> ChainAccount {
        let mut data = vec![0; 165];
        data[64..72].copy_from_slice(&self.0.lock().unwrap().balance.to_le_bytes());
        data[108] = 1;
        ChainAccount { lamports: 1, owner: anchor_spl::token::ID, data }
    }
}

#[async_trait]
impl Rpc for Node {
    async fn genesis_hash(&self) -> Result<[u8; 32], RpcError> {
        Ok([0; 32])
    }

    async fn accounts(&self, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<ChainAccount>>), RpcError> {
        self.answer().await?;
        let token = get_associated_token_address(&VAULT, &parties().mint);
        let found = addresses.iter().map(|address| match *address {
            VAULT => self.vault(),
            address => (address == token).then(|| self.token()),
        });
        Ok((200, found.collect()))
    }

    async fn program_accounts(&self, _: &Pubkey, _: &[(usize, Vec<u8>)]) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
        Ok(Vec::new())
    }

    async fn blockhash(&self) -> Result<([u8; 32], u64), RpcError> {
        let height = self.block_height().await?;
        self.say(|said| said.height += said.blocks_a_hash);
        Ok(([height as u8; 32], height + 150))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        self.answer().await?;
        let said = self.0.lock().unwrap();
        if said.no_height { Err(RpcError::Node("busy".into())) } else { Ok(said.height) }
    }

    async fn simulate(&self, transaction: &[u8]) -> Result<Simulation, RpcError> {
        self.answer().await?;
        let said = self.0.lock().unwrap();
        said.version_1.clone().filter(|_| form::is_v1(transaction)).unwrap_or(Ok(said.simulation.clone()))
    }

    async fn rehearse(&self, _: &[u8], _: &[Pubkey]) -> Result<Rehearsal, RpcError> {
        unreachable!("settlement rehearses nothing")
    }

    async fn recent_fees(&self, _: &[Pubkey]) -> Result<Vec<u64>, RpcError> {
        Ok(self.0.lock().unwrap().fees.clone())
    }

    async fn lamports(&self, _: &Pubkey) -> Result<u64, RpcError> {
        Ok(self.0.lock().unwrap().lamports)
    }

    async fn send(&self, transaction: &[u8]) -> Result<(), RpcError> {
        self.answer().await?;
        self.say(|said| (said.sent, said.last) = (said.sent + 1, transaction.to_vec()));
        Ok(())
    }

    async fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<TransactionState>>, RpcError> {
        self.answer().await?;
        self.say(|said| said.statuses += 1);
        Ok(vec![self.0.lock().unwrap().state.clone(); signatures.len()])
    }
}

fn parties() -> SettlementAccounts {
    let at = |seed: u8| Pubkey::new_from_array([seed; 32]);
    let (program, relayer, settler) = (steam_router::ID, at(200), keypair().pubkey());
    SettlementAccounts { program, config: at(1), relayer, settler, fee_token: at(204), mint: at(205) }
}

fn keypair() -> Keypair {
    Keypair::new_from_array([3; 32])
}

/// A relayer whose vault has been charged once, and its settler.
async fn charged(nodes: &[Arc<Node>]) -> (World, Settler) {
    charged_with(nodes, at_once()).await
}

/// Settles whatever is charged, however little.
fn at_once() -> SettleConfig {
    SettleConfig { min_fee_microusdc: 0, ..SettleConfig::default() }
}

async fn charged_with(nodes: &[Arc<Node>], config: SettleConfig) -> (World, Settler) {
    let world = World::new(vec![good(false).await.offer(1)]).await;
    assert_eq!(world.chat(json!({})).await.status(), 200);
    let settler = Settler::new(Setup {
        ledger: world.node.ledger.clone(),
        vaults: world.node.vaults.clone(),
        nodes: nodes.iter().map(|node| node.clone() as Arc<dyn Rpc>).collect(),
        clock: Arc::new(SystemClock),
        parties: parties(),
        keypair: keypair(),
        config,
        alerts: AlertConfig::default(),
        registry: world.node.registry.clone(),
        replaced: Duration::from_secs(600),
    });
    (world, settler.0)
}

async fn open_group(world: &World) -> SealedGroup {
    world.node.ledger.open_batches().await.unwrap().remove(0).groups.remove(0)
}

fn refused(error: SteamError) -> Simulation {
    Simulation::Fails { code: Some(error.into()), reason: "refused".into() }
}

#[tokio::test]
async fn an_old_reading_of_a_vault_does_not_halt_it() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    let first = open_group(&world).await;
    node.say(|said| said.head = (1, first.hash));
    node.say(|said| said.height = 1_000);
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().settled_groups, 1);

    // The second group is sealed and sent; then the node answers from before the first.
    assert_eq!(world.chat(json!({})).await.status(), 200);
    settler.round(Round::Seal).await.unwrap();
    let second = open_group(&world).await;
    node.say(|said| said.head = (0, [0; 32]));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.chat(json!({})).await.status(), 200, "the vault is not halted");

    // A head that is none of the ledger's halts it, until it is the ledger's again.
    node.say(|said| said.head = (2, [9; 32]));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.chat(json!({})).await.status(), 503);
    node.say(|said| (said.head, said.height) = ((2, second.hash), 2_000));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.chat(json!({})).await.status(), 200);
    assert_eq!(world.node.ledger.pending().await.unwrap().settled_groups, 2);
}

#[tokio::test]
async fn a_group_is_voided_only_for_its_own_fault_and_by_every_nodes_word() {
    let (honest, liar) = (Node::new(), Node::new());
    let (world, mut settler) = charged(&[liar.clone(), honest.clone()]).await;
    for error in [SteamError::NotSettler, SteamError::Paused, SteamError::SeqGap, SteamError::VaultOrder] {
        for node in [&liar, &honest] {
            node.say(|said| said.simulation = refused(error));
        }
        settler.round(Round::Seal).await.unwrap();
        assert_eq!(open_group(&world).await.receipts, 1, "{error:?}");
        assert_eq!(settler.problem.take().as_deref(), Some("refused"));
    }
    honest.say(|said| said.simulation = Simulation::Succeeds { units: 1 });
    liar.say(|said| said.simulation = refused(SteamError::KeyClosed));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(open_group(&world).await.receipts, 1, "one node's word");
    honest.say(|said| said.simulation = refused(SteamError::KeyClosed));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(open_group(&world).await.receipts, 0);
    assert_eq!(honest.sent(), 0);
}

#[tokio::test]
async fn what_a_group_was_voided_of_is_owed_though_the_answer_of_that_write_was_lost() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    node.say(|said| said.simulation = refused(SteamError::Paused));
    settler.round(Round::Seal).await.unwrap();
    let owed = world.node.vaults.sums().unsettled;
    let batch = world.node.ledger.open_batches().await.unwrap().remove(0);
    let fault = crate::settle::fault::unforeseen("refused");
    let (void, _) = world.node.ledger.void_group(&batch, fault, 0).await.unwrap();
    node.say(|said| said.simulation = Simulation::Succeeds { units: 1 });
    settler.round(Round::Resolve).await.unwrap();
    let settled = VaultSnapshot { settle_seq: 1, settle_hash: void.hash, slot: 1_000_000, ..snapshot() };
    world.node.vaults.update(&[settled], NOW, 50);
    assert_eq!((world.node.vaults.sums().unsettled, node.sent()), (owed, 1));
}

#[tokio::test]
async fn nodes_that_differ_on_a_vault_move_nothing() {
    let (one, other) = (Node::new(), Node::new());
    let (world, mut settler) = charged(&[one.clone(), other.clone()]).await;
    settler.round(Round::Seal).await.unwrap();
    let group = open_group(&world).await;
    one.say(|said| (said.head, said.height) = ((1, group.hash), 1_000));
    other.say(|said| said.height = 1_000);
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().settled_groups, 0);
    assert_eq!(world.chat(json!({})).await.status(), 200, "and halt nothing");
    other.say(|said| said.head = (1, group.hash));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().settled_groups, 1);
}

#[tokio::test]
async fn only_nodes_whose_heights_were_taken_say_what_became_of_a_transaction() {
    let nodes = [Node::new(), Node::new(), Node::new()];
    let (_world, mut settler) = charged(&nodes).await;
    settler.round(Round::Seal).await.unwrap();
    nodes[2].say(|said| said.no_height = true);
    let asked = || nodes.each_ref().map(|node| node.0.lock().unwrap().statuses);
    assert_eq!(asked(), [0; 3]);
    settler.round(Round::Resolve).await.unwrap();
    assert_eq!(asked(), [1, 1, 0]);
}

#[tokio::test]
async fn how_long_a_blockhash_lives_is_told_after_it() {
    let (slow, quick) = (Node::new(), Node::new());
    quick.say(|said| said.blocks_a_hash = 3);
    let nodes = [slow as Arc<dyn Rpc>, quick as Arc<dyn Rpc>];
    for turn in [0, 1] {
        let (_, last_valid) = agreed::blockhash(&nodes, turn).await.unwrap();
        assert_eq!(last_valid, 10 + 3 * (2 * turn as u64 + 1) + 150);
    }
}

#[tokio::test]
async fn nothing_is_signed_or_voided_while_the_chain_is_not_the_ledgers() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    node.say(|said| said.simulation = Simulation::Fails { code: None, reason: "no fee".into() });
    settler.round(Round::Seal).await.unwrap();
    for simulation in [Simulation::Succeeds { units: 1 }, refused(SteamError::KeyClosed)] {
        node.say(|said| (said.head, said.simulation) = ((5, [9; 32]), simulation));
        settler.round(Round::Seal).await.unwrap();
        let group = world.node.ledger.unbatched(1_000_000).await.unwrap().remove(0);
        assert_eq!((group.receipts, node.sent()), (1, 0));
    }
}

#[tokio::test]
async fn a_closed_vaults_charges_are_set_aside_and_never_meet_the_next_vault_of_its_address() {
    // Sealed and sent, sealed and not sent, not sealed; then nothing at the address, or another vault.
    for (sent, sealed) in [(true, true), (false, true), (false, false)] {
        for reopened in [None, Some(150)] {
            let node = Node::new();
            let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
            if !sent {
                node.say(|said| said.simulation = Simulation::Fails { code: None, reason: "no fee".into() });
            }
            settler.round(if sealed { Round::Seal } else { Round::Resolve }).await.unwrap();
            // A reading from before it was opened is no sign that it was closed.
            node.say(|said| (said.generation, said.simulation) = (Some(6), refused(SteamError::VoucherSignature)));
            settler.round(Round::Seal).await.unwrap();
            assert_eq!(world.node.ledger.pending().await.unwrap().receipts, 1);

            node.say(|said| said.generation = reopened);
            settler.round(Round::Seal).await.unwrap();
            if sent {
                assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1, "its transaction can still land");
            }
            node.say(|said| said.height = 1_000);
            settler.round(Round::Seal).await.unwrap();
            settler.round(Round::Seal).await.unwrap();
            let pending = world.node.ledger.pending().await.unwrap();
            assert_eq!((pending.receipts, pending.open_groups, pending.settled_groups), (0, 0, 0));
            assert!(world.node.ledger.open_batches().await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_batch_that_was_applied_keeps_its_proof_though_a_vault_of_it_was_closed_after() {
    let nodes = [Node::new()];
    let (world, mut settler) = charged(&nodes).await;
    settler.round(Round::Seal).await.unwrap();
    let applied = open_group(&world).await;
    let closed = SealedGroup { vault: Pubkey::from([66; 32]), ..applied.clone() };
    let open = SealedGroup { vault: Pubkey::from([67; 32]), ..applied.clone() };
    let at = |group: &SealedGroup, settle_seq, settle_hash| VaultSnapshot {
        address: group.vault,
        generation: group.generation,
        settle_seq,
        settle_hash,
        ..snapshot()
    };
    let reading = accounts::Reading {
        vaults: [at(&applied, applied.seq, applied.hash), at(&open, open.seq - 1, [0; 32])]
            .map(|vault| (vault.address, vault))
            .into(),
        absent: [(closed.vault, 200)].into(),
    };
    let attempt = |byte| Attempt {
        signature: Signature::from([byte; 64]).to_string(),
        bytes: Vec::new(),
        last_valid_height: 100,
        dead: true,
    };
    let mut judge = |groups: &[&SealedGroup], attempts: &[(Attempt, Told)], height| {
        let told = attempts.iter().map(|(attempt, told)| (attempt.signature.parse().unwrap(), told.clone())).collect();
        let attempts = attempts.iter().map(|(attempt, _)| attempt.clone()).collect();
        let groups = groups.iter().copied().cloned().collect();
        let batch = Batch { id: 1, root: [0; 32], signed: 1, attempts, groups };
        let seen = Observation { height, told, reading: reading.clone() };
        settler.judge(&batch, &seen).unwrap()
    };
    let disputed = |byte| (attempt(byte), Told::Disputed);
    let failed = TransactionState { slot: 90, finalized: true, error: Some("refused".into()) };
    let never = [(attempt(2), Told::Unknown), (attempt(2), Told::Known(failed))];
    // The group that is open was skipped, whether or not a vault was closed: its transaction is the only one that can have done it.
    for (groups, skips) in [
        (vec![&applied, &closed], 0),
        (vec![&applied, &closed, &open], 1),
        (vec![&applied, &open], 1),
        (vec![&applied], 0),
    ] {
        for tried in [vec![disputed(1)], vec![disputed(1), never[0].clone()], vec![disputed(1), never[1].clone()]] {
            match judge(&groups, &tried, 101) {
                Verdict::Done { signature, applied: settled, skipped } => {
                    assert_eq!((signature, settled.len(), skipped.len()), (Some(attempt(1).signature), 1, skips))
                }
                _ => panic!("{skips} {tried:?}"),
            }
        }
        let two = [disputed(1), disputed(2)];
        assert!(matches!(judge(&groups, &two, 250), Verdict::Wait), "either may have done it");
        for (unknown, height) in [(&two[..], 251), (&never[..1], 101), (&never[1..], 101), (&[], 101)] {
            match judge(&groups, unknown, height) {
                Verdict::Done { signature: None, applied: settled, skipped } => {
                    assert_eq!((settled.len(), skipped.len()), (1, 0), "what is open is batched anew")
                }
                _ => panic!("{unknown:?}"),
            }
        }
        // All nodes have forgotten it.
        let unknown = [(attempt(1), Told::Unknown)];
        assert!(matches!(judge(&groups, &unknown, 251), Verdict::Done { signature: Some(_), .. }));
    }
    assert!(matches!(judge(&[&closed, &open], &[disputed(1)], 101), Verdict::Release));
    assert!(matches!(judge(&[&open], &[disputed(1)], 101), Verdict::Sign(_)));
}

#[tokio::test]
async fn what_nodes_say_of_a_transaction_is_known_if_they_say_the_same() {
    let state = |slot| Some(TransactionState { slot, finalized: true, error: None });
    for (one, other, told) in [
        (state(7), state(7), Told::Known(state(7).unwrap())),
        (None, None, Told::Unknown),
        (state(7), state(8), Told::Disputed),
        (state(7), None, Told::Disputed),
        (None, state(7), Told::Disputed),
    ] {
        let nodes = [one, other].map(|said| {
            let node = Node::new();
            node.say(|says| says.state = said);
            node as Arc<dyn Rpc>
        });
        assert_eq!(agreed::statuses(&nodes, &[Signature::default()]).await.unwrap(), [told]);
    }
}

fn unsupported() -> Option<Result<Simulation, RpcError>> {
    Some(Err(RpcError::Node("failed to deserialize transaction".into())))
}

fn fails(reason: &str) -> Simulation {
    Simulation::Fails { code: None, reason: reason.into() }
}

#[tokio::test]
async fn version_1_is_taken_where_a_node_takes_it() {
    let node = Node::new();
    let (_world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((node.sent(), node.was_sent_v1()), (1, true));
}

#[tokio::test]
async fn a_node_that_refuses_version_1_is_sent_version_0() {
    // It cannot read it, it does not run it.
    for refusal in [unsupported(), Some(Ok(fails("UnsupportedVersion")))] {
        let node = Node::new();
        node.say(|said| said.version_1 = refusal);
        let (_world, mut settler) = charged(std::slice::from_ref(&node)).await;
        settler.round(Round::Seal).await.unwrap();
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((node.sent(), node.was_sent_v1()), (1, false));
        assert_eq!(settler.problem, None);
    }
}

#[tokio::test]
async fn what_is_no_fault_of_version_1_is_not_taken_for_one() {
    // No fee: version 0 fails as well. No answer: neither.
    let node = Node::new();
    node.say(|said| said.simulation = fails("no fee"));
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(settler.problem.take().as_deref(), Some("no fee"));
    assert!(settler.version1.is_on(settler.height));
    // A program's refusal is the group's, whatever the version.
    node.say(|said| said.simulation = refused(SteamError::KeyClosed));
    settler.round(Round::Seal).await.unwrap();
    assert!(settler.version1.is_on(settler.height));
    assert_eq!(open_group(&world).await.receipts, 0, "voided");
}

#[tokio::test]
async fn version_1_that_does_not_land_is_followed_by_version_0() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    assert!(node.was_sent_v1());
    node.say(|said| said.height = 160);
    settler.round(Round::Seal).await.unwrap();
    assert!(node.was_sent_v1(), "its last valid height is not final yet");
    node.say(|said| said.height = 161);
    settler.round(Round::Seal).await.unwrap();
    assert!(!node.was_sent_v1());
    let batches = world.node.ledger.open_batches().await.unwrap();
    assert_eq!((batches.len(), batches[0].groups.len()), (1, 1), "the same group, batched once");
}

#[tokio::test]
async fn a_version_that_is_chosen_is_kept() {
    for (transaction, v1) in [(TransactionVersion::V0, false), (TransactionVersion::V1, true)] {
        let node = Node::new();
        let config = SettleConfig { transaction, ..at_once() };
        let (_world, mut settler) = charged_with(std::slice::from_ref(&node), config).await;
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((node.sent(), node.was_sent_v1()), (1, v1));
        node.say(|said| said.height = 1_000);
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((node.sent(), node.was_sent_v1()), (2, v1));
        node.say(|said| (said.height, said.version_1) = (2_000, unsupported()));
        assert_eq!(settler.round(Round::Seal).await.is_err(), v1, "it is an error where version 1 is insisted on");
    }
}

/// Names of the alerts that are told now.
async fn told(settler: &mut Settler) -> Vec<&'static str> {
    settler.watch().await.unwrap();
    settler.status.borrow().alerts.iter().map(|alert| alert.name).collect()
}

/// Micro-lamports a compute unit of the last transaction, of version 0.
fn price(node: &Node) -> u64 {
    let message = form::message_of(&node.0.lock().unwrap().last).unwrap();
    let set = message.instructions().iter().find(|instruction| instruction.data.first() == Some(&3)).unwrap();
    u64::from_le_bytes(set.data[1..].try_into().unwrap())
}

#[tokio::test]
async fn a_settlement_pays_what_recent_ones_did_twice_as_much_when_it_did_not_land_and_never_above_the_cap() {
    let (one, other) = (Node::new(), Node::new());
    one.say(|said| said.fees = vec![5_000; 10]);
    other.say(|said| said.fees = vec![u64::MAX; 10]);
    let config = SettleConfig { transaction: TransactionVersion::V0, max_priority_fee: 15_000, ..at_once() };
    let (_world, mut settler) = charged_with(&[one.clone(), other.clone()], config).await;
    for (round, expected) in [5_000, 10_000, 15_000].into_iter().enumerate() {
        for node in [&one, &other] {
            node.say(|said| said.height = 1_000 * (round as u64 + 1));
        }
        settler.round(Round::Seal).await.unwrap();
        assert_eq!((price(&one), one.sent()), (expected, round + 1));
    }
}

#[tokio::test]
async fn compute_units_are_asked_for_as_simulated_with_a_margin() {
    let node = Node::new();
    let config = SettleConfig { transaction: TransactionVersion::V0, ..at_once() };
    let (_world, mut settler) = charged_with(std::slice::from_ref(&node), config).await;
    settler.round(Round::Seal).await.unwrap();
    let message = form::message_of(&node.0.lock().unwrap().last).unwrap();
    let limit = message.instructions().iter().find(|instruction| instruction.data.first() == Some(&2)).unwrap();
    assert_eq!(u32::from_le_bytes(limit.data[1..].try_into().unwrap()), 41_000);
    assert_eq!(form::fee_of(&node.0.lock().unwrap().last), 5_000 + 41, "41,000 units at 1,000 micro-lamports");
}

#[tokio::test]
async fn version_1_is_tried_again_after_so_many_blocks_and_not_before() {
    let node = Node::new();
    node.say(|said| said.version_1 = unsupported());
    let (_world, mut settler) = charged(std::slice::from_ref(&node)).await;
    settler.round(Round::Seal).await.unwrap();
    settler.round(Round::Seal).await.unwrap();
    assert!(!node.was_sent_v1());
    node.say(|said| (said.version_1, said.height) = (None, 10 + version::PAUSE_BLOCKS - 1));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((node.sent(), node.was_sent_v1()), (2, false));
    node.say(|said| said.height = 10 + version::PAUSE_BLOCKS + 151);
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((node.sent(), node.was_sent_v1()), (3, true));
}

#[tokio::test]
async fn a_node_that_does_not_simulate_is_passed_over() {
    let (one, other) = (Node::new(), Node::new());
    let (world, mut settler) = charged(&[one.clone(), other.clone()]).await;
    one.say(|said| said.version_1 = unsupported());
    settler.round(Round::Seal).await.unwrap();
    assert_eq!((other.sent(), other.was_sent_v1()), (1, true), "the other takes it");
    assert_eq!(world.node.ledger.open_batches().await.unwrap()[0].attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_of_three_nodes_that_is_down_or_silent_keeps_nothing_waiting() {
    for silent in [false, true] {
        let nodes = [Node::new(), Node::new(), Node::new()];
        for (at, away) in nodes.iter().enumerate() {
            for node in &nodes {
                node.say(|said| (said.down, said.silent, said.sent) = (false, false, 0));
            }
            away.say(|said| (said.down, said.silent) = (!silent, silent));
            let rpcs: Vec<Arc<dyn Rpc>> = nodes.iter().map(|node| node.clone() as Arc<dyn Rpc>).collect();
            let heights = crate::chain::quorum::ask(&rpcs, |node| node.block_height()).await.unwrap();
            assert!(heights.iter().map(|(place, _)| *place).eq((0..3).filter(|place| *place != at)));
            assert_eq!(agreed::finalized_height(&rpcs).await.unwrap(), 10);
            assert_eq!(agreed::blockhash(&rpcs, at).await.unwrap().1, 160);
        }
    }
}

#[tokio::test]
async fn two_of_three_nodes_settle_and_a_third_that_lies_moves_nothing() {
    let nodes = [Node::new(), Node::new(), Node::new()];
    let (world, mut settler) = charged(&nodes).await;
    nodes[0].say(|said| said.down = true);
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(nodes.each_ref().map(|node| node.sent()), [0, 1, 1]);
    // One of the two that answer says that it is settled, or that it never will be.
    let group = open_group(&world).await;
    for lie in [(|said| said.height = 1_000) as fn(&mut Said), |said| said.height = 1] {
        nodes[2].say(lie);
        settler.round(Round::Resolve).await.unwrap();
        assert_eq!(
            world.node.ledger.open_batches().await.unwrap()[0].attempts.iter().filter(|one| !one.dead).count(),
            1
        );
    }
    nodes[2].say(|said| (said.height, said.head) = (10, (1, group.hash)));
    settler.round(Round::Resolve).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1);
    nodes[1].say(|said| said.head = (1, group.hash));
    nodes.iter().for_each(|node| node.say(|said| said.height = 1_000));
    settler.round(Round::Resolve).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 0);
}

#[tokio::test]
async fn a_person_is_told_which_node_is_down_and_when_it_is_over() {
    let (one, other) = (Node::new(), Node::new());
    let (_world, mut settler) = charged(&[one.clone(), other.clone()]).await;
    settler.round(Round::Seal).await.unwrap();
    assert!(!told(&mut settler).await.contains(&"rpc_node"));
    other.say(|said| said.down = true);
    assert!(settler.round(Round::Seal).await.is_err(), "what decides needs two nodes");
    assert!(told(&mut settler).await.contains(&"rpc_node"));
    let message = settler.status.borrow().alerts.iter().find(|a| a.name == "rpc_node").unwrap().message.clone();
    assert_eq!(message, "node 2 of chain.rpc_urls does not answer");
    other.say(|said| said.down = false);
    assert!(!told(&mut settler).await.contains(&"rpc_node"));
}

#[tokio::test]
async fn a_person_is_told_of_old_charges_low_balance_and_charges_set_aside() {
    let node = Node::new();
    let (world, mut settler) = charged(std::slice::from_ref(&node)).await;
    // The charge was made at the tests' time, in the seventies.
    node.say(|said| said.simulation = fails("no fee"));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(told(&mut settler).await, ["unsettled_age"]);
    node.say(|said| said.lamports = 99_999_999);
    assert_eq!(told(&mut settler).await, ["unsettled_age", "settler_balance"]);
    // The only charge of a group that cannot settle is set aside, and waits for nothing any more.
    node.say(|said| (said.simulation, said.lamports) = (refused(SteamError::KeyClosed), 100_000_000));
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(told(&mut settler).await, ["set_aside"]);
    assert_eq!(open_group(&world).await.receipts, 0);
}

/// A clock that stands still.
struct At(i64);

impl Clock for At {
    fn unix_ms(&self) -> i64 {
        self.0
    }
}

#[tokio::test]
async fn dust_waits_until_its_fees_pay_for_it_or_it_is_old() {
    let node = Node::new();
    let began_ms = NOW * 1_000;
    let settler_of = async |config: &SettleConfig, age_ms: i64| {
        let (world, mut settler) = charged_with(std::slice::from_ref(&node), config.clone()).await;
        settler.setup.clock = Arc::new(At(began_ms + age_ms));
        (world, settler)
    };
    // One request pays a fee of 0.26 µUSDC. Each settler is new, as after a restart: the age is the charge's.
    for (least, seconds, age_ms, sealed) in [
        (1, 3_600, 0, 0),
        (1, 3_600, 3_599_999, 0),
        (1, 3_600, 3_600_000, 1),
        (1, 3_600, -1, 1),
        (1, 0, 0, 1),
        (0, 3_600, 0, 1),
    ] {
        let config = SettleConfig { min_fee_microusdc: least, dust_seconds: seconds, ..SettleConfig::default() };
        let (world, mut settler) = settler_of(&config, age_ms).await;
        settler.round(Round::Seal).await.unwrap();
        let open_groups = world.node.ledger.pending().await.unwrap().open_groups;
        assert_eq!(open_groups, sealed, "{least} {seconds} {age_ms}");
    }
    let config = SettleConfig { min_fee_microusdc: 1, dust_seconds: 3_600, ..SettleConfig::default() };
    let (world, mut settler) = settler_of(&config, 0).await;
    for _ in 0..3 {
        assert_eq!(world.chat(json!({})).await.status(), 200);
    }
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1, "four fees are worth it");

    let (mut world, mut settler) = settler_of(&config, 0).await;
    world.snapshot.pending_withdrawal = MicroUsdc(1);
    world.chain_says();
    settler.round(Round::Seal).await.unwrap();
    assert_eq!(world.node.ledger.pending().await.unwrap().open_groups, 1, "its owner withdraws");
}
