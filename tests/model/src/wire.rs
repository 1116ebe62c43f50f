//! Instructions as bytes and accounts, by SPEC.md and the IDL; accounts' bytes as the model's structs.

pub mod genesis;

use crate::cast::{
    ASSOCIATED, Holder, Mint, Name, PROGRAM, Purse, SYSTEM, TOKEN, TOKEN_2022, Wallet, address, program_data, sign,
};
use crate::model::GENESIS_HASH;
use crate::model::token::Holding;
use crate::op::{Call, Damage, Grant, Ix, Limits, Program, Settlement, Signed, Terms, Voucher};
use crate::time::Delays;
use borsh::{BorshDeserialize, BorshSerialize};
use solana_address::Address;
use solana_instruction::{AccountMeta, Instruction};
use steam_protocol::{sha256, units::MicroUsdc, voucher};

/// The sysvar that shows a program the instructions of its transaction.
const INSTRUCTIONS: Address = Address::from_str_const("Sysvar1nstructions1111111111111111111111111");
/// The sysvar that advancing a nonce reads.
const RECENT_BLOCKHASHES: Address = Address::from_str_const("SysvarRecentB1ockHashes11111111111111111111");

/// A durable nonce that the stranger may advance.
pub fn nonce() -> Address {
    Address::new_from_array(sha256(&[b"model nonce"]))
}

/// Advances the durable nonce.
pub fn advance_nonce() -> Instruction {
    let accounts = vec![
        AccountMeta::new(nonce(), false),
        AccountMeta::new_readonly(RECENT_BLOCKHASHES, false),
        AccountMeta::new_readonly(at(Name::Wallet(Wallet::Stranger)), true),
    ];
    Instruction { program_id: SYSTEM, accounts, data: vec![4, 0, 0, 0] }
}

/// An address as the runtime has it.
pub fn at(name: Name) -> Address {
    Address::new_from_array(address(name))
}

/// What the data of an instruction begins with.
pub fn discriminator(name: &str) -> [u8; 8] {
    let hash = sha256(&[b"global:", name.as_bytes()]);
    std::array::from_fn(|at| hash[at])
}

/// The accounts and data of an instruction being written.
struct Draft {
    accounts: Vec<AccountMeta>,
    data: Vec<u8>,
}

impl Draft {
    fn new(name: &str) -> Self {
        Self { accounts: Vec::new(), data: discriminator(name).to_vec() }
    }

    fn signer(self, wallet: Wallet) -> Self {
        self.push(AccountMeta::new_readonly(at(Name::Wallet(wallet)), true))
    }

    fn payer(self, wallet: Wallet) -> Self {
        self.push(AccountMeta::new(at(Name::Wallet(wallet)), true))
    }

    fn read(self, name: Name) -> Self {
        self.program(at(name))
    }

    fn write(self, name: Name) -> Self {
        self.push(AccountMeta::new(at(name), false))
    }

    fn program(self, address: Address) -> Self {
        self.push(AccountMeta::new_readonly(address, false))
    }

    fn push(mut self, meta: AccountMeta) -> Self {
        self.accounts.push(meta);
        self
    }

    /// What an instruction that makes an account with a token account asks for.
    fn making(self, name: Name, token: Purse) -> Self {
        self.write(name)
            .read(Name::Mint(Mint::Dollar))
            .write(Name::Purse(token))
            .program(TOKEN)
            .program(ASSOCIATED)
            .program(SYSTEM)
    }

    /// What an instruction that moves dollars ends with.
    fn moving(self, from: Purse, to: Purse) -> Self {
        self.write(Name::Purse(from)).write(Name::Purse(to)).read(Name::Mint(Mint::Dollar)).program(TOKEN)
    }

    fn arg(mut self, value: &impl BorshSerialize) -> Self {
        // Writing to memory does not fail.
        let _: Result<(), _> = value.serialize(&mut self.data);
        self
    }
}

/// The instruction of the program that a call sends.
pub fn instruction(call: &Call) -> Instruction {
    let Draft { mut accounts, data } = draft(&call.ix);
    let mut signers = accounts.iter().filter(|meta| meta.is_signer).map(|meta| meta.pubkey);
    if let Some(silent) = call.unsigned.and_then(|unsigned| signers.nth(unsigned.into())) {
        // Whoever does not sign does so nowhere.
        accounts.iter_mut().filter(|meta| meta.pubkey == silent).for_each(|meta| meta.is_signer = false);
    }
    Instruction { program_id: PROGRAM, accounts, data }
}

/// The name an instruction has in the IDL.
pub fn name(ix: &Ix) -> &'static str {
    match ix {
        Ix::InitConfig { .. } => "init_config",
        Ix::SetConfig { .. } => "set_config",
        Ix::TransferAdmin { .. } => "transfer_admin",
        Ix::AcceptAdmin { .. } => "accept_admin",
        Ix::Pause { .. } => "pause",
        Ix::RegisterRelayer { .. } => "register_relayer",
        Ix::UpdateRelayer { .. } => "update_relayer",
        Ix::RegisterProvider { .. } => "register_provider",
        Ix::UpdateProvider { .. } => "update_provider",
        Ix::SuspendProvider { .. } => "suspend_provider",
        Ix::WithdrawEarnings { .. } => "withdraw_earnings",
        Ix::WithdrawFees { .. } => "withdraw_fees",
        Ix::PutOffer { .. } => "put_offer",
        Ix::RetireOffer { .. } => "retire_offer",
        Ix::CloseOffer { .. } => "close_offer",
        Ix::CloseProvider { .. } => "close_provider",
        Ix::UpdateKey { .. } => "update_key",
        Ix::OpenVault { .. } => "open_vault",
        Ix::AuthorizeKey { .. } => "authorize_key",
        Ix::RevokeKey { .. } => "revoke_key",
        Ix::RequestWithdraw { .. } => "request_withdraw",
        Ix::CancelWithdraw { .. } => "cancel_withdraw",
        Ix::ExecuteWithdraw { .. } => "execute_withdraw",
        Ix::WithdrawNow(_) => "withdraw_now",
        Ix::CloseVault { .. } => "close_vault",
        Ix::RecoverTokens { .. } => "recover_tokens",
        Ix::RecoverNested { .. } => "recover_nested",
        Ix::RecoverNestedEarnings { .. } => "recover_nested_earnings",
        Ix::RecoverLamports { .. } => "recover_lamports",
        Ix::SettleBatch(_) => "settle_batch",
    }
}

/// An instruction's accounts and arguments.
fn draft(ix: &Ix) -> Draft {
    let drafted = of_deployment(Draft::new(name(ix)), ix).or_else(|new| of_market(new, ix));
    let drafted = drafted.or_else(|new| of_vault(new, ix)).or_else(|new| of_withdrawal(new, ix));
    drafted.unwrap_or_else(|_| panic!("no form is known of {ix:?}"))
}

/// The deployment's administration. Gives the draft back if the instruction is another's, as those below do.
fn of_deployment(new: Draft, ix: &Ix) -> Result<Draft, Draft> {
    let key = |wallet: Wallet| wallet.address();
    Ok(match ix {
        Ix::InitConfig { authority, payer, mint, admin, guardian, delays, floors } => new
            .signer(*authority)
            .payer(*payer)
            .write(Name::Config)
            .read(Name::Mint(*mint))
            .program(program_data())
            .program(SYSTEM)
            .arg(&GENESIS_HASH)
            .arg(&key(*admin))
            .arg(&key(*guardian))
            .arg(delays)
            .arg(floors),
        Ix::SetConfig { admin, guardian, delays } => {
            let delays: &Option<Delays> = delays;
            new.signer(*admin).write(Name::Config).arg(&guardian.map(key)).arg(delays)
        }
        Ix::TransferAdmin { admin, pending } => new.signer(*admin).write(Name::Config).arg(&key(*pending)),
        Ix::AcceptAdmin { pending } => new.signer(*pending).write(Name::Config),
        Ix::Pause { guardian } => new.signer(*guardian).write(Name::Config),
        _ => return Err(new),
    })
}

/// Relayers, providers and their offers.
fn of_market(new: Draft, ix: &Ix) -> Result<Draft, Draft> {
    let key = |wallet: Wallet| wallet.address();
    Ok(match ix {
        Ix::RegisterRelayer { relayer, payer, settler, receipt_key, fee_bps, url } => new
            .signer(Wallet::Relayer(*relayer))
            .payer(*payer)
            .read(Name::Config)
            .making(Name::Relayer(*relayer), Holder::Relayer(*relayer).dollars())
            .arg(&key(*settler))
            .arg(receipt_key)
            .arg(fee_bps)
            .arg(url),
        Ix::UpdateRelayer { authority, relayer, update } => new
            .signer(*authority)
            .read(Name::Config)
            .write(*relayer)
            .arg(&update.settler.map(key))
            .arg(&update.receipt_key)
            .arg(&update.fee_bps)
            .arg(&update.url)
            .arg(&update.retired),
        Ix::RegisterProvider { provider, payer, name, url } => new
            .signer(Wallet::Provider(*provider))
            .payer(*payer)
            .read(Name::Config)
            .making(Name::Provider(*provider), Holder::Provider(*provider).dollars())
            .arg(name)
            .arg(url),
        Ix::UpdateProvider { authority, provider, update } => {
            new.signer(*authority).write(*provider).arg(&update.name).arg(&update.url).arg(&update.retired)
        }
        Ix::SuspendProvider { guardian, provider, suspended } => {
            new.signer(*guardian).read(Name::Config).write(*provider).arg(suspended)
        }
        Ix::WithdrawEarnings { authority, provider, destination, amount } => new
            .signer(*authority)
            .read(Name::Config)
            .read(Name::Provider(*provider))
            .moving(Holder::Provider(*provider).dollars(), *destination)
            .arg(amount),
        Ix::WithdrawFees { authority, relayer, destination, amount } => new
            .signer(*authority)
            .read(Name::Config)
            .read(Name::Relayer(*relayer))
            .moving(Holder::Relayer(*relayer).dollars(), *destination)
            .arg(amount),
        Ix::PutOffer { authority, payer, provider, offer, model, terms } => {
            let Terms { tariff, context_limit, output_limit, capabilities } = terms;
            new.signer(*authority)
                .payer(*payer)
                .read(Name::Config)
                .write(Name::Provider(*provider))
                .write(Name::Offer(*provider, *offer))
                .program(SYSTEM)
                .arg(model)
                .arg(&tariff.price)
                .arg(&tariff.long_from)
                .arg(&tariff.long_price)
                .arg(context_limit)
                .arg(output_limit)
                .arg(capabilities)
        }
        Ix::RetireOffer { authority, provider, offer } => {
            new.signer(*authority).read(Name::Config).read(Name::Provider(*provider)).write(*offer)
        }
        _ => return Err(new),
    })
}

/// What ends offers and providers, and vaults with their keys.
fn of_vault(new: Draft, ix: &Ix) -> Result<Draft, Draft> {
    Ok(match ix {
        Ix::OpenVault { owner, payer, relayer } => new
            .signer(Wallet::Owner(*owner))
            .payer(*payer)
            .read(Name::Config)
            .read(Name::Relayer(*relayer))
            .making(Name::Vault(*owner, *relayer), Holder::Vault(*owner, *relayer).dollars()),
        Ix::CloseOffer { authority, rent_payer, provider, offer } => {
            new.payer(*authority).write(Name::Wallet(*rent_payer)).write(Name::Provider(*provider)).write(*offer)
        }
        Ix::CloseProvider { authority, rent_payer, provider, token } => new
            .payer(*authority)
            .write(Name::Wallet(*rent_payer))
            .write(*provider)
            .write(Name::Purse(*token))
            .program(TOKEN),
        Ix::AuthorizeKey { owner, key, payer, vault, slot, grant } => new
            .signer(*owner)
            .signer(*key)
            .payer(*payer)
            .read(Name::Config)
            .write(*vault)
            .program(SYSTEM)
            .arg(slot)
            .arg(grant),
        Ix::UpdateKey { owner, vault, slot, limits } => {
            let Limits { limit_total, window_limit, max_price, max_fee_bps } = limits;
            let all = new.signer(*owner).read(Name::Config).write(*vault).arg(slot);
            all.arg(limit_total).arg(window_limit).arg(max_price).arg(max_fee_bps)
        }
        Ix::RevokeKey { owner, vault, relayer, slot, settler } => {
            let all = new.signer(*owner).read(Name::Config).write(*vault).read(Name::Relayer(*relayer));
            match settler {
                Some(settler) => all.signer(*settler),
                None => all.program(PROGRAM),
            }
            .arg(slot)
        }
        _ => return Err(new),
    })
}

/// What moves money out of a vault: withdrawals, recovery and settlement.
fn of_withdrawal(new: Draft, ix: &Ix) -> Result<Draft, Draft> {
    Ok(match ix {
        Ix::RequestWithdraw { owner, vault, amount } => new.signer(*owner).read(Name::Config).write(*vault).arg(amount),
        Ix::CancelWithdraw { owner, vault } => new.signer(*owner).write(*vault),
        Ix::ExecuteWithdraw { owner, vault, token, destination } => {
            new.signer(*owner).write(*vault).moving(*token, *destination)
        }
        Ix::WithdrawNow(asked) => new
            .signer(asked.owner)
            .signer(asked.settler)
            .read(Name::Relayer(asked.relayer))
            .read(asked.vault)
            .moving(asked.token, asked.destination)
            .program(INSTRUCTIONS)
            .arg(&asked.amount)
            .arg(&asked.generation)
            .arg(&asked.settle_seq)
            .arg(&asked.valid_until_slot),
        Ix::CloseVault { owner, rent_payer, vault, token, destination } => {
            new.payer(*owner).write(Name::Wallet(*rent_payer)).write(*vault).moving(*token, *destination)
        }
        Ix::RecoverTokens { owner, vault, source, destination, mint, program } => {
            new.signer(*owner).read(*vault).write(*source).write(Name::Purse(*destination)).read(*mint).program(
                match program {
                    Program::Token => TOKEN,
                    Program::Token2022 => TOKEN_2022,
                    Program::System => SYSTEM,
                },
            )
        }
        Ix::RecoverNested { owner, vault, token, nested } => {
            new.payer(*owner).write(*vault).moving(*token, *nested).program(ASSOCIATED)
        }
        Ix::RecoverNestedEarnings { authority, provider, nested } => new
            .payer(*authority)
            .write(Name::Provider(*provider))
            .moving(Holder::Provider(*provider).dollars(), *nested)
            .program(ASSOCIATED),
        Ix::RecoverLamports { owner, vault } => new.payer(*owner).write(*vault),
        Ix::SettleBatch(settlement) => settle(new, settlement),
        _ => return Err(new),
    })
}

impl BorshSerialize for Grant {
    fn serialize<W: std::io::Write>(&self, to: &mut W) -> std::io::Result<()> {
        let limits = (self.expires, self.limit_total, self.window_seconds, self.window_limit);
        (limits, self.max_price, self.max_fee_bps, self.allow_root).serialize(to)
    }
}

fn settle(new: Draft, batch: &Settlement) -> Draft {
    let mut all = new
        .payer(batch.settler)
        .read(Name::Relayer(batch.relayer))
        .read(Name::Config)
        .write(Name::Purse(Holder::Relayer(batch.relayer).dollars()))
        .read(Name::Mint(Mint::Dollar))
        .program(TOKEN);
    for (vault, token) in &batch.vaults {
        all = all.write(*vault).write(*token);
    }
    for (offer, token) in &batch.offers {
        all = all.read(*offer).write(*token);
    }
    if batch.damage == Some(Damage::AccountMissing) {
        all.accounts.pop();
    }
    let head = all.data.len();
    all.data.extend_from_slice(&batch_bytes(batch));
    let data = &mut all.data;
    match batch.damage {
        Some(Damage::Truncated) => drop(data.pop()),
        Some(Damage::Trailing) => data.push(0),
        Some(Damage::NoGroups) => data[head + 32] = 0,
        Some(Damage::ManyGroups) => data[head + 32] = 25,
        Some(Damage::ManyVouchers) => data[head + 43] = 17,
        Some(Damage::ManyCharges) => data[head + 44] = 17,
        Some(Damage::AccountMissing) | None => {}
    }
    all
}

/// A batch as `steam_protocol::batch` describes its bytes, also where it is none.
fn batch_bytes(batch: &Settlement) -> Vec<u8> {
    let mut bytes = vec![7; 32];
    bytes.push(batch.groups.len() as u8);
    for group in &batch.groups {
        bytes.extend_from_slice(&group.seq.to_le_bytes());
        bytes.extend_from_slice(&group.receipts.to_le_bytes());
        bytes.extend_from_slice(&group.fee_bps.to_le_bytes());
        let announced = u8::from(group.memberships.is_some()) << 7;
        bytes.extend_from_slice(&[group.vouchers.len() as u8, group.charges.len() as u8 | announced]);
        for voucher in &group.vouchers {
            bytes.push(voucher.slot);
            bytes.extend_from_slice(&voucher.authorized.to_le_bytes());
            bytes.extend_from_slice(&voucher.request);
            bytes.extend_from_slice(&signature(voucher));
        }
        for charge in &group.charges {
            let short = charge.cache_write != 0 || charge.announces_zero;
            let flags = u8::from(short) << 5 | u8::from(charge.cache_write_long != 0) << 6 | u8::from(charge.long) << 7;
            bytes.extend_from_slice(&[(charge.slot % 32) | flags, charge.offer_ix]);
            for number in [charge.version, charge.requests, charge.input, charge.cached, charge.output] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            if short {
                bytes.extend_from_slice(&charge.cache_write.to_le_bytes());
            }
            if charge.cache_write_long != 0 {
                bytes.extend_from_slice(&charge.cache_write_long.to_le_bytes());
            }
        }
        if let Some(memberships) = &group.memberships {
            bytes.push(memberships.len() as u8);
            for proof in memberships {
                bytes.push(proof.path);
                bytes.extend(proof.siblings.iter().flatten());
            }
        }
    }
    bytes
}

fn signature(voucher: &Voucher) -> [u8; 64] {
    let Signed { key, domain, vault, generation, epoch, authorized, request, spoilt } = voucher.signed;
    let text = voucher::Voucher {
        domain,
        vault: address(vault),
        generation,
        epoch,
        authorized: MicroUsdc(authorized),
        request_hash: request,
    };
    let mut signature = sign(key, &text.message());
    signature[40] ^= u8::from(spoilt);
    signature
}

/// An account of the program, decoded; none if it is not one of this type.
pub fn decode<T: BorshDeserialize>(kind: &str, data: &[u8]) -> Option<T> {
    let hash = sha256(&[b"account:", kind.as_bytes()]);
    let mut body = data.strip_prefix(&hash[..8])?;
    T::deserialize(&mut body).ok()
}

/// What a token account's bytes say.
pub fn holding(data: &[u8]) -> Option<Holding> {
    let amount = data.get(64..72)?.try_into().map(u64::from_le_bytes).ok()?;
    Some(Holding { amount, frozen: data.get(108) == Some(&2) })
}
