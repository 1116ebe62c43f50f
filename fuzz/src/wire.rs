//! The formats all sides must agree on to the byte, and the two verifiers that must agree on every signature.

use steam_protocol::allow_list::ANY;
use steam_protocol::batch::{
    Batch, BatchError, BatchView, GROUP_LEN, HEADER_LEN, MAX_GROUPS, MAX_MEMBERSHIPS, VOUCHER_LEN,
};
use steam_protocol::group::{MAX_CHARGES, MAX_VOUCHERS};
use steam_protocol::key::{PREFIX, SessionKey};
use steam_protocol::receipt::{Receipt, ReceiptError, SIGNED_LEN, SignedReceipt};
use steam_protocol::units::{MicroUsdc, receipt_fee};
use steam_protocol::voucher::{MESSAGE_LEN, Voucher, verify_strict};

/// Input bytes, taken from the front; zeros once they are used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let len = N.min(self.0.len());
        taken[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }
}

/// What both verifiers say, which must be the same: what the relayer accepts, settles.
fn verified(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let relayer = verify_strict(key, message, signature);
    let program = brine_ed25519::verify_strict(&(*key).into(), signature, &[message]).is_ok();
    assert_eq!(relayer, program, "the relayer's verdict and the program's differ");
    relayer
}

/// A voucher is signed and verified as one message, of which every bit counts.
pub fn voucher(data: &[u8]) {
    let mut input = Input(data);
    let key = SessionKey::from_seed(&input.take());
    let voucher = Voucher {
        domain: input.take(),
        vault: input.take(),
        generation: u64::from_le_bytes(input.take()),
        epoch: u32::from_le_bytes(input.take()),
        authorized: MicroUsdc(u64::from_le_bytes(input.take())),
        request_hash: input.take(),
    };
    let (field, bit) = (input.byte(), input.byte());
    let message = voucher.message();
    assert_eq!(message.len(), MESSAGE_LEN);
    assert!(message.starts_with(b"steam-voucher:1"));
    let signature = key.sign(&message);
    assert!(verified(&key.address(), &message, &signature));

    // One bit changed in what is signed, in the signature, or in the key.
    let flip = |bytes: &mut [u8]| bytes[usize::from(bit / 8) % bytes.len()] ^= 1 << (bit % 8);
    let mut other = voucher;
    match field % 8 {
        0 => flip(&mut other.domain),
        1 => flip(&mut other.vault),
        2 => other.generation ^= 1 << (bit % 64),
        3 => other.epoch ^= 1 << (bit % 32),
        4 => other.authorized.0 ^= 1 << (bit % 64),
        5 => flip(&mut other.request_hash),
        6 => {
            let mut bent = signature;
            flip(&mut bent[32 * usize::from(field & 8 != 0)..]);
            assert!(!verified(&key.address(), &message, &bent));
        }
        _ => {
            let mut stranger = key.address();
            flip(&mut stranger);
            assert!(!verified(&stranger, &message, &signature));
        }
    }
    if other != voucher {
        assert!(!verified(&key.address(), &other.message(), &signature));
    }
}

/// A receipt has one reading; its signature covers every byte; its amounts are checked.
pub fn receipt(data: &[u8]) {
    let Ok(read) = SignedReceipt::from_bytes(data) else {
        // The form is of fixed size, so of the right size only a tag that is none is refused.
        return;
    };
    assert_eq!(data.len(), SIGNED_LEN);
    assert_eq!(read.to_bytes(), data);
    let key = SessionKey::from_seed(&read.receipt.response_hash);
    if !verified(&key.address(), &read.receipt.message(), &read.signature) {
        assert_eq!(read.verify(&key.address()), Err(ReceiptError::Signature));
    }

    let sign = |receipt: Receipt| SignedReceipt { signature: key.sign(&receipt.message()), receipt };
    let as_it_says = sign(read.receipt.clone());
    assert_eq!(as_it_says.verify(&key.address()), read.receipt.check_amounts());
    let mut honest = read.receipt.clone();
    honest.charge = honest.price.charge(&honest.usage);
    if let Some(fee) = receipt_fee(honest.charge, honest.fee_bps) {
        honest.fee = fee;
        let honest = sign(honest);
        assert_eq!(honest.verify(&key.address()), Ok(()));
        // Another byte, and it is nobody's receipt, or no receipt.
        let at = usize::from(u16::from_le_bytes([data[0], data[1]])) % SIGNED_LEN;
        let mut bent = honest.to_bytes();
        bent[at] ^= data[2].max(1);
        if let Ok(bent) = SignedReceipt::from_bytes(&bent) {
            assert_eq!(bent.verify(&key.address()), Err(ReceiptError::Signature));
        }
    }
}

/// A batch has one reading and one writing, and reading in place says what reading it whole does.
pub fn batch(data: &[u8]) {
    let read = Batch::decode(data);
    assert_eq!(read.is_ok(), read_in_place(data).is_ok());
    let Ok(batch) = read else {
        assert_eq!(read_in_place(data), read.map(|_| ()));
        return;
    };
    assert_eq!(batch.encode().as_deref(), Ok(data));
    assert!((1..=MAX_GROUPS).contains(&batch.groups.len()));
    let groups = batch.groups.iter().map(steam_protocol::batch::Group::encoded_len).sum::<usize>();
    assert_eq!(HEADER_LEN + groups, data.len());
    // Cut anywhere it is no batch, and neither is it with a byte more.
    let cut = usize::from(data[0]) * data.len() / 256;
    assert_eq!(Batch::decode(&data[..cut]), Err(BatchError::Truncated));
    let more = [data, &[data[1]]].concat();
    assert_eq!(Batch::decode(&more), Err(BatchError::TrailingBytes));
}

/// Reads a batch as the program does: group by group, without memory of its own.
fn read_in_place(data: &[u8]) -> Result<(), BatchError> {
    let mut view = BatchView::parse(data)?;
    let mut bytes = HEADER_LEN;
    for _ in 0..view.len() {
        let group = view.next_group()?;
        assert!(group.vouchers().len() <= MAX_VOUCHERS && group.charges().len() <= MAX_CHARGES);
        bytes += GROUP_LEN
            + group.vouchers().len() * VOUCHER_LEN
            + group.charges().map(|charge| charge.encoded_len()).sum::<usize>();
        let proofs: Vec<_> = group.memberships().map(|proof| proof.to_membership()).collect();
        assert!(proofs.len() <= MAX_MEMBERSHIPS);
        bytes += usize::from(!proofs.is_empty());
        for (proof, read) in proofs.iter().zip(group.memberships()) {
            bytes += proof.encoded_len();
            // No proof leads anybody to the root that says that all are allowed.
            assert!(!read.proves(view.root, &ANY));
        }
        assert!(bytes <= data.len());
    }
    view.finish()?;
    assert_eq!(bytes, data.len());
    Ok(())
}

/// ℓ, the order of ed25519's group, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The y coordinates of the eight points of small order, and encodings of them beyond the prime.
const SMALL: [[u8; 32]; 8] = [
    [0; 32],
    first(1, 0, 0),
    first(0xec, 0xff, 0x7f),
    first(0xed, 0xff, 0x7f),
    first(0xee, 0xff, 0x7f),
    first(0xff, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn first(low: u8, middle: u8, high: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = low;
    bytes[31] = high;
    bytes
}

/// Whatever bytes come as key and signature, program and relayer say the same; and neither takes a forgery.
pub fn signature(data: &[u8]) {
    let mut input = Input(data);
    let (how, which) = (input.byte(), input.byte());
    let key = SessionKey::from_seed(&input.take());
    let patch: [u8; 96] = input.take();
    let message = input.0;
    let genuine = key.sign(message);
    assert!(verified(&key.address(), message, &genuine));

    let (mut address, mut signature) = (key.address(), genuine);
    let small = |index: u8| {
        let mut point = SMALL[usize::from(index % 8)];
        point[31] ^= (index & 8) << 4;
        point
    };
    match how % 6 {
        // Any bytes at all.
        0 => {
            address.copy_from_slice(&patch[..32]);
            signature.copy_from_slice(&patch[32..]);
        }
        // A genuine one, changed where the patch is not zero.
        1 => {
            let (of_key, of_signature) = patch.split_at(32);
            address.iter_mut().zip(of_key).for_each(|(byte, by)| *byte ^= by);
            signature.iter_mut().zip(of_signature).for_each(|(byte, by)| *byte ^= by);
        }
        // A genuine one with ℓ added to S, once or more often.
        2 => (0..which % 16).for_each(|_| add_order(&mut signature)),
        // Points of small order for the key, for R, or for both; any S, or none.
        3 => address = small(which),
        4 => signature[..32].copy_from_slice(&small(which)),
        _ => {
            address = small(which);
            signature[..32].copy_from_slice(&small(which >> 4));
            signature[32..].copy_from_slice(&patch[..32]);
        }
    }
    let valid = verified(&address, message, &signature);
    match how % 6 {
        // A patch may be all zeros, and bytes may be another's genuine signature.
        0 => {}
        1 => assert_eq!(valid, patch == [0; 96]),
        2 => assert_eq!(valid, which % 16 == 0),
        _ => assert!(!valid, "a point of small order was taken"),
    }
}

/// Adds ℓ to S, as a little-endian number; a carry beyond it is lost.
fn add_order(signature: &mut [u8; 64]) {
    let mut carry = 0u16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
}

/// An API key has one text.
pub fn key(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        // As it is, and behind the prefix that every key has.
        for text in [text.to_owned(), format!("{PREFIX}{text}")] {
            if let Ok(key) = text.parse::<SessionKey>() {
                assert_eq!(key.reveal(), text);
            }
        }
    }
    let seed = Input(data).take();
    let key = SessionKey::from_seed(&seed);
    let text = key.reveal();
    assert_eq!(text.parse::<SessionKey>().map(|key| key.address()), Ok(key.address()));
    // One character another: another key, or none.
    let at = PREFIX.len() + usize::from(data.len() as u8) % (text.len() - PREFIX.len());
    let mut other = text.clone().into_bytes();
    other[at] = seed[0] & 0x7f;
    if let Ok(other) = String::from_utf8(other)
        && let Ok(parsed) = other.parse::<SessionKey>()
    {
        assert_eq!(parsed.address() == key.address(), other == text);
    }
}
