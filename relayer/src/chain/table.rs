//! Address lookup tables as the chain has them. A table only makes addresses shorter: the program checks every account it is
//! given, so that a node's lie about a table makes a transaction fail and does nothing else.

use super::Pubkey;
use super::quorum::ask;
use super::rpc::{ChainAccount, MAX_ACCOUNTS, Rpc, RpcError};
use solana_address_lookup_table_interface::program;
use solana_address_lookup_table_interface::state::AddressLookupTable;
use std::sync::Arc;

/// A table at a finalized slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// Who may extend and close it; none can if it is frozen.
    pub authority: Option<Pubkey>,
    /// The slot of its deactivation, if it was deactivated.
    pub deactivated_at: Option<u64>,
    /// Its addresses that every later slot may look up.
    pub addresses: Vec<Pubkey>,
}

/// The tables at `addresses` as all nodes have them, and the oldest slot that was read. A table that the nodes describe
/// differently is what they agree on: the addresses they share from the first on, active only if all say so. One that a
/// node lacks is absent only if all lack it.
///
/// # Errors
/// [`RpcError`] if too few nodes answer.
pub async fn agreed_tables(
    nodes: &[Arc<dyn Rpc>],
    addresses: &[Pubkey],
) -> Result<(u64, Vec<Option<TableState>>), RpcError> {
    let told = ask(nodes, |node| tables(node, addresses)).await?;
    let oldest = told.iter().map(|(_, (slot, _))| *slot).min().unwrap_or_default();
    let agreed = told.into_iter().map(|(_, (_, seen))| seen);
    let agreed =
        agreed.reduce(|known, seen| known.into_iter().zip(seen).map(|(one, other)| common(one, other)).collect());
    Ok((oldest, agreed.unwrap_or_default()))
}

/// The tables at `addresses` as one node has them, and the oldest slot that was read.
async fn tables(node: &dyn Rpc, addresses: &[Pubkey]) -> Result<(u64, Vec<Option<TableState>>), RpcError> {
    let (mut oldest, mut seen) = (u64::MAX, Vec::with_capacity(addresses.len()));
    for chunk in addresses.chunks(MAX_ACCOUNTS) {
        let (slot, found) = node.accounts(chunk).await?;
        oldest = oldest.min(slot);
        seen.extend(found.iter().map(|account| account.as_ref().and_then(|account| read(account, slot))));
    }
    Ok((oldest, seen))
}

fn read(account: &ChainAccount, slot: u64) -> Option<TableState> {
    let table = AddressLookupTable::deserialize(&account.data).ok().filter(|_| account.owner == program::ID)?;
    // What was added in a slot can be looked up from the next on.
    let old = usize::from(table.meta.last_extended_slot_start_index);
    let usable = if slot > table.meta.last_extended_slot { table.addresses.len() } else { old };
    Some(TableState {
        authority: table.meta.authority,
        deactivated_at: (table.meta.deactivation_slot != u64::MAX).then_some(table.meta.deactivation_slot),
        addresses: table.addresses.iter().take(usable).copied().collect(),
    })
}

fn common(one: Option<TableState>, other: Option<TableState>) -> Option<TableState> {
    let (Some(one), Some(other)) = (one.clone(), other.clone()) else {
        // It is there, and nothing in it is agreed on.
        return one.or(other).map(|table| TableState { addresses: Vec::new(), ..table });
    };
    let shared = one.addresses.iter().zip(&other.addresses).take_while(|(a, b)| a == b).count();
    Some(TableState {
        authority: one.authority.filter(|_| one.authority == other.authority),
        deactivated_at: one.deactivated_at.max(other.deactivated_at),
        addresses: one.addresses.into_iter().take(shared).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(addresses: &[u8], deactivated_at: Option<u64>) -> Option<TableState> {
        let addresses = addresses.iter().map(|n| Pubkey::new_from_array([*n; 32])).collect();
        Some(TableState { authority: Some(Pubkey::new_from_array([9; 32])), deactivated_at, addresses })
    }

    #[test]
    fn nodes_agree_on_the_addresses_they_share_from_the_first_on() {
        assert_eq!(common(table(&[1, 2, 3], None), table(&[1, 2], None)), table(&[1, 2], None));
        assert_eq!(common(table(&[1, 2, 3], None), table(&[2, 2, 3], None)), table(&[], None));
        assert_eq!(common(table(&[1], None), table(&[1], Some(7))), table(&[1], Some(7)));
        assert_eq!(
            common(table(&[1], None), None),
            table(&[], None),
            "one that a node lacks is not used, nor forgotten"
        );
        assert_eq!(common(None, None), None);
    }

    #[test]
    fn an_address_can_be_looked_up_from_the_slot_after_its_extension_on() {
        use solana_address_lookup_table_interface::state::LookupTableMeta;
        let meta = LookupTableMeta {
            authority: Some(Pubkey::new_from_array([9; 32])),
            last_extended_slot: 50,
            last_extended_slot_start_index: 1,
            ..LookupTableMeta::default()
        };
        let addresses = vec![Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32])];
        let data = AddressLookupTable { meta, addresses: addresses.into() }.serialize_for_tests().unwrap();
        let account = ChainAccount { lamports: 1, owner: program::ID, data };
        assert_eq!(read(&account, 50), table(&[1], None));
        assert_eq!(read(&account, 51), table(&[1, 2], None));
        assert_eq!(read(&ChainAccount { owner: Pubkey::default(), ..account }, 51), None, "of another program");
    }
}
