//! What is judged of a batch by what the nodes say.

use super::*;

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

/// Decides that the one incident of a ledger is written off, as `steam ledger resolve --write-off` does beside a relayer.
async fn write_off(world: &World) {
    let ids: Vec<_> = world.node.ledger.incidents(false).await.unwrap().iter().map(|incident| incident.id).collect();
    let decision = crate::ledger::incidents::Decision {
        resolution: crate::ledger::incidents::Resolution::WrittenOff,
        by: "operator".into(),
        note: "closed".into(),
        at_ms: 1,
    };
    crate::ledger::resolve(world.ledger_path().as_path(), &ids, &decision).unwrap();
}

#[tokio::test]
async fn what_is_written_off_before_its_void_group_is_sent_is_free() {
    for lags in [false, true] {
        let (one, other) = (Node::new(), Node::new());
        let (world, mut settler) = charged(&[one.clone(), other.clone()]).await;
        let all = |change: &dyn Fn(&mut Said)| [&one, &other].iter().for_each(|node| node.say(|said| change(said)));
        all(&|said| said.simulation = refused(SteamError::KeyClosed));
        settler.round(Round::Seal).await.unwrap();
        assert_eq!(open_group(&world).await.receipts, 0, "voided");
        all(&|said| said.simulation = Simulation::Succeeds { units: 1 });
        if lags {
            // The nodes differ on the vault for as long as it takes a person to decide.
            other.say(|said| said.balance = 2);
            settler.round(Round::Resolve).await.unwrap();
            settler.round(Round::Seal).await.unwrap();
            assert_eq!(one.sent(), 0);
        }
        write_off(&world).await;
        settler.round(Round::Seal).await.unwrap();
        other.say(|said| said.balance = 1);
        settler.round(Round::Seal).await.unwrap();
        assert!(one.sent() > 0, "the void group");
        let void = open_group(&world).await;
        let settled = VaultSnapshot { settle_seq: 1, settle_hash: void.hash, slot: 1_000_000, ..snapshot() };
        world.node.vaults.update(&[settled], NOW, 50);
        assert_eq!(
            world.node.vaults.sums().unsettled.0,
            0,
            "written off, the vault's money is free again; lags: {lags}"
        );
    }
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
