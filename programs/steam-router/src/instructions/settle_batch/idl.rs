//! The batch's shape for the IDL. Its bytes are not Borsh's: lengths are one byte and precede the vouchers.

use super::BatchData;
use anchor_lang::IdlBuild;
use anchor_lang::idl::types::{
    IdlArrayLen, IdlDefinedFields, IdlField, IdlSerialization, IdlType, IdlTypeDef, IdlTypeDefTy,
};
use std::collections::BTreeMap;

struct BatchGroup;
struct BatchVoucher;
struct BatchCharge;
struct BatchMembership;

fn define<T: IdlBuild>(doc: &str, fields: &[(&str, IdlType)]) -> Option<IdlTypeDef> {
    let fields = fields.iter().map(|(name, ty)| IdlField { name: (*name).into(), docs: Vec::new(), ty: ty.clone() });
    Some(IdlTypeDef {
        name: T::get_full_path(),
        docs: vec![doc.into()],
        serialization: IdlSerialization::Custom("steam-batch".into()),
        repr: None,
        generics: Vec::new(),
        ty: IdlTypeDefTy::Struct { fields: Some(IdlDefinedFields::Named(fields.collect())) },
    })
}

fn insert<T: IdlBuild>(types: &mut BTreeMap<String, IdlTypeDef>) {
    types.extend(T::create_type().map(|ty| (T::get_full_path(), ty)));
    T::insert_types(types);
}

fn list<T: IdlBuild>() -> IdlType {
    IdlType::Vec(Box::new(IdlType::Defined { name: T::get_full_path(), generics: Vec::new() }))
}

fn bytes(len: usize) -> IdlType {
    IdlType::Array(Box::new(IdlType::U8), IdlArrayLen::Value(len))
}

impl IdlBuild for BatchData {
    fn create_type() -> Option<IdlTypeDef> {
        define::<Self>("root ‖ number of groups u8 ‖ groups", &[("root", bytes(32)), ("groups", list::<BatchGroup>())])
    }

    fn insert_types(types: &mut BTreeMap<String, IdlTypeDef>) {
        insert::<BatchGroup>(types);
    }
}

impl IdlBuild for BatchGroup {
    fn create_type() -> Option<IdlTypeDef> {
        define::<Self>(
            "seq ‖ receipts ‖ fee_bps ‖ number of vouchers u8 ‖ number of charges u8, 128 more if there are memberships ‖ \
             vouchers ‖ charges; and if there are any: number of memberships u8 ‖ memberships",
            &[
                ("seq", IdlType::U32),
                ("receipts", IdlType::U32),
                ("fee_bps", IdlType::U16),
                ("vouchers", list::<BatchVoucher>()),
                ("charges", list::<BatchCharge>()),
                ("memberships", list::<BatchMembership>()),
            ],
        )
    }

    fn insert_types(types: &mut BTreeMap<String, IdlTypeDef>) {
        insert::<BatchVoucher>(types);
        insert::<BatchCharge>(types);
        insert::<BatchMembership>(types);
    }
}

impl IdlBuild for BatchVoucher {
    fn create_type() -> Option<IdlTypeDef> {
        let fields = [
            ("slot", IdlType::U8),
            ("authorized", IdlType::U64),
            ("request_hash", bytes(32)),
            ("signature", bytes(64)),
        ];
        define::<Self>("What a session key signed", &fields)
    }
}

impl IdlBuild for BatchCharge {
    fn create_type() -> Option<IdlTypeDef> {
        let fields = [
            ("slot", IdlType::U8),
            ("offer_ix", IdlType::U8),
            ("version", IdlType::U32),
            ("requests", IdlType::U32),
            ("input", IdlType::U32),
            ("cached", IdlType::U32),
            ("output", IdlType::U32),
            ("cache_write", IdlType::Option(Box::new(IdlType::U32))),
            ("cache_write_long", IdlType::Option(Box::new(IdlType::U32))),
        ];
        define::<Self>(
            "What a session key is charged: the slot's bit 5 says that cache_write is there, bit 6 that cache_write_long is, \
             bit 7 that the prompts are long ones",
            &fields,
        )
    }
}

impl IdlBuild for BatchMembership {
    fn create_type() -> Option<IdlTypeDef> {
        define::<Self>(
            "A provider's way to the root of a key's allow-list: path ‖ as many siblings as the path has bits below its \
             highest, of which those that are set say which siblings stand on the left",
            &[("path", IdlType::U8), ("siblings", IdlType::Vec(Box::new(bytes(32))))],
        )
    }
}
